# NixOS tests: machines that boot, serve, play and compare. Each needs a builder with KVM; elsewhere they
# are evaluated, and their scripts are checked as Python.
{
  pkgs,
  lib,
  facts,
  modules,
  packages,
  ...
}:
let
  test =
    name: file:
    pkgs.testers.runNixOSTest (
      {
        name = "hls-swarm-${name}";
      }
      // import file {
        inherit
          pkgs
          lib
          facts
          modules
          packages
          ;
      }
    );
in
{
  lab = test "lab" ./lab.nix;
  images = test "images" ./images.nix;
}
