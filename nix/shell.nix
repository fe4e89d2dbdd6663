# The tools that `make` needs.
{ pkgs }:
pkgs.mkShell {
  inputsFrom = [ pkgs.hls-swarm ];
  packages = with pkgs; [
    clippy
    curl
    ffmpeg-headless
    iproute2
    nginx
    nix
    nixfmt-tree
    openssl
    rust-analyzer
    rustfmt
  ];
}
