# An overlay with both programs and the FFmpeg for viewers.
final: _prev: import ./programs.nix final
