# What scripts/nix-build builds and runs beside the flake's packages and checks: the programs of all apps, the units and
# settings of a NixOS host, and those of the machines of a NixOS test. These need no kernel of their own.
{
  pkgs,
  lib,
  apps,
  checks,
  modules,
  packages,
}:
let
  # What contains a kernel cannot be built: the machines, and the disks of the NixOS tests.
  hasKernel =
    name:
    lib.any (prefix: lib.hasPrefix prefix name) [
      "lab-pair"
      "nixos-"
      "swarm-client-microvm"
      "swarm-client-vm"
      "test-origin-vm"
    ];
  buildable = lib.filterAttrs (name: _: !hasKernel name);
  named = kind: lib.mapAttrs' (name: lib.nameValuePair "${kind}.${name}");

  exampleHost = lib.nixosSystem {
    modules = [
      { nixpkgs.pkgs = pkgs; }
      modules.default
      ./host.nix
    ];
  };

  # Our units and settings of a configuration, as a folder.
  filesOf =
    config:
    let
      ours = lib.filterAttrs (name: _: lib.hasPrefix "hls-" name) config.systemd.units;
      enabled = lib.filterAttrs (_: unit: lib.elem "multi-user.target" unit.wantedBy) ours;
      limits = map (
        limit: "${limit.domain} ${limit.type} ${limit.item} ${toString limit.value}"
      ) config.security.pam.loginLimits;
      lines = name: list: pkgs.writeText name (lib.concatMapStrings (line: line + "\n") list);
    in
    pkgs.linkFarm "hls-units" (
      lib.mapAttrs' (name: unit: lib.nameValuePair "units/${name}" "${unit.unit}/${name}") ours
      // {
        "sysctl.conf" = config.environment.etc."sysctl.d/60-nixos.conf".source;
        "limits.conf" = lines "limits.conf" limits;
        "udev.rules" = pkgs.writeText "udev.rules" config.services.udev.extraRules;
        # The units that start with the machine.
        enabled = lines "enabled" (lib.attrNames enabled);
        programs = pkgs.symlinkJoin {
          name = "hls-programs";
          paths = with pkgs; [
            hls-swarm
            hls-origin
          ];
        };
      }
    );
in
rec {
  # Everything that can be built, by its name in the flake, and the names of the rest.
  derivations = lib.mapAttrs (_: package: package.drvPath) (
    named "packages" (buildable packages)
    // named "checks" (buildable checks)
    // named "lab" { inherit apps-programs host nodes; }
  );
  left-out =
    lib.concatMap
      (kind: map (name: "${kind.name}.${name}") (lib.filter hasKernel (lib.attrNames kind.value)))
      (
        lib.attrsToList {
          inherit apps checks packages;
        }
      );

  # The programs of the apps, by name.
  apps-programs = pkgs.linkFarm "hls-apps" (lib.mapAttrs (_: app: app.program) (buildable apps));

  host = filesOf exampleHost.config;

  # The NixOS test of the lab, without its machines.
  nodes = pkgs.linkFarm "hls-nodes" (
    lib.mapAttrs (_: filesOf) checks.nixos-lab.nodes
    // {
      "script.py" = pkgs.writeText "script.py" checks.nixos-lab.config.testScriptString;
    }
  );
}
