# A stand-in for a NixOS system: our modules are the real ones, and what they set is kept as it was
# set. A hundredth of the cost of a system; that the options exist in NixOS is shown by the machines.
{
  pkgs,
  lib,
  modules,
  ...
}:
module:
let
  kept = lib.mkOption {
    type = lib.types.submodule { freeformType = with lib.types; attrsOf anything; };
    default = { };
  };
  evaluated = lib.evalModules {
    specialArgs = { inherit pkgs; };
    modules = [
      modules.default
      module
      {
        options = {
          assertions = lib.mkOption { type = with lib.types; listOf unspecified; };
          boot.kernel.sysctl = lib.mkOption {
            type = with lib.types; attrsOf anything;
            default = { };
          };
          boot.kernelPackages = lib.mkOption {
            type = lib.types.raw;
            default = pkgs.linuxPackages;
          };
          environment = kept;
          networking.firewall.allowedTCPPorts = lib.mkOption {
            type = with lib.types; listOf port;
            apply = lib.sort lib.lessThan;
            default = [ ];
          };
          security = kept;
          services.grafana = kept;
          services.prometheus = kept;
          services.udev = kept;
          systemd = kept;
        };
        # What the dashboards read of NixOS's own module.
        config.services.prometheus.port = lib.mkDefault 9090;
      }
    ];
  };
  failed = map (assertion: assertion.message) (
    lib.filter (assertion: !assertion.assertion) evaluated.config.assertions
  );
in
# As NixOS does it: with a failed assertion there is no system.
if failed == [ ] then
  evaluated.config
else
  throw "Failed assertions: ${lib.concatStringsSep "; " failed}"
