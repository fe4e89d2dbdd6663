# The programs and the FFmpeg for viewers, built with the packages of `pkgs`. The overlay and the modules use it, so
# that a module does not have to evaluate nixpkgs a second time.
pkgs: rec {
  hls-viewer-ffmpeg = pkgs.callPackage ./viewer-ffmpeg.nix { };
  hls-swarm = pkgs.callPackage ./package.nix { inherit hls-viewer-ffmpeg; };
  # An output of the same build, with a main program of its own.
  hls-origin = hls-swarm.origin // {
    meta = hls-swarm.meta // {
      description = "Test origin for HTTP Live Streaming: FFmpeg and nginx";
      mainProgram = "hls-origin";
    };
  };
}
