# The tools that `make` and the tests need.
{ pkgs }:
pkgs.mkShell {
  inputsFrom = [ pkgs.hls-swarm ];
  packages = with pkgs; [
    # make lint
    clippy
    nixfmt-tree
    rust-analyzer
    rustfmt

    # make test
    curl
    ffmpeg-headless
    iproute2
    kubectl
    nginx
    nix
    openssl
    patch
    procps
    prometheus
    python3

    # make microvm-*, make lab
    erofs-utils
    openssh
    qemu_kvm

    # The player of the tests of other engines; setup hooks find the plugins.
    gst_all_1.gst-libav
    gst_all_1.gst-plugins-bad
    gst_all_1.gst-plugins-base
    gst_all_1.gst-plugins-good
    gst_all_1.gstreamer
  ];
}
