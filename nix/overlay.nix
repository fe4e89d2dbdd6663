# An overlay with both programs and the FFmpeg for viewers.
final: _prev: {
  hls-viewer-ffmpeg = final.callPackage ./viewer-ffmpeg.nix { };
  hls-swarm = final.callPackage ./package.nix { };
}
