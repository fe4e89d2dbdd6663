# Both programs and the FFmpeg for viewers, for any nixpkgs.
final: _prev: {
  hls-viewer-ffmpeg = final.callPackage ./viewer-ffmpeg.nix { };
  hls-swarm = final.callPackage ./package.nix { };
}
