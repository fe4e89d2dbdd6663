# The packages: the programs, the images, a runner for each machine of the lab, and the lab.
{
  pkgs,
  lib,
  facts,
  machines,
  modules,
}:
let
  runners = lib.mapAttrs (_: machine: machine.config.microvm.declaredRunner) machines;
in
{
  default = pkgs.hls-swarm;
  inherit (pkgs) hls-swarm hls-origin hls-viewer-ffmpeg;
  demo = import ./demo.nix { inherit pkgs; };

  lab-pair = import ./lab-pair.nix { inherit pkgs facts runners; };
  module-options = import ./options-doc.nix { inherit pkgs lib modules; };
}
// import ./images.nix { inherit pkgs lib facts; }
// runners
