# NixOS tests, which boot machines, run a load test and compare the results. They need a builder with KVM; without it,
# they are only evaluated, and their scripts are checked for valid Python.
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
