# A substitute for a NixOS system with our real modules, which stores the options they set. It costs a hundredth of
# a real system. The machines of the lab show that the options exist in NixOS.
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
          warnings = lib.mkOption {
            type = with lib.types; listOf str;
            default = [ ];
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
        # The options of NixOS that the dashboards module reads.
        config.services.prometheus.port = lib.mkDefault 9090;
      }
    ];
  };
  failed = map (assertion: assertion.message) (
    lib.filter (assertion: !assertion.assertion) evaluated.config.assertions
  );
in
# As in NixOS, a failed assertion is an error.
if failed == [ ] then
  evaluated.config
else
  throw "Failed assertions: ${lib.concatStringsSep "; " failed}"
