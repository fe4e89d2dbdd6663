# The checks: eval-* compares values that Nix evaluates, and tests wrong configurations; conf-* checks generated
# files with the programs that read them; package-* runs the tests of the package; nixos-* boots machines.
arguments:
let
  inherit (arguments) lib;
  prefixed = prefix: lib.mapAttrs' (name: lib.nameValuePair "${prefix}-${name}");
  hostOf = import ./host.nix arguments;
in
prefixed "eval" (import ./eval.nix (arguments // { inherit hostOf; }))
// prefixed "eval-refused" (
  lib.mapAttrs (_: case: case.check) (import ./refused.nix (arguments // { inherit hostOf; }))
)
// prefixed "conf" (import ./conf.nix arguments)
# Programs that were not built by Nix (PREBUILT of scripts/nix-build) have no tests.
// prefixed "package" (arguments.packages.hls-swarm.tests or { })
// prefixed "nixos" (import ../../vms/tests arguments)
