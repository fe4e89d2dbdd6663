# The machines of the lab as NixOS configurations: an origin for each profile, and a client. Profiles that start with
# "tap" are on the bridge of the lab (scripts/network); all others have user networking with ports forwarded from the
# host. Addresses, MACs and ports are in network.toml.
{
  pkgs,
  lib,
  facts,
  modules,
  microvm,
}:
let
  machine =
    module: arguments:
    lib.nixosSystem {
      specialArgs = {
        inherit facts;
      }
      // arguments;
      modules = [
        { nixpkgs.pkgs = pkgs; }
        microvm
        modules.default
        ./base.nix
        module
      ];
    };

  originName =
    profile: if profile == "default" then "test-origin-vm" else "test-origin-vm-${profile}";
in
lib.mapAttrs' (
  profile: _:
  lib.nameValuePair (originName profile) (
    machine ./origin.nix {
      inherit profile;
      onBridge = lib.hasPrefix "tap" profile;
    }
  )
) facts.origin.profiles
// {
  swarm-client-microvm = machine ./client.nix { onBridge = true; };
  swarm-client-vm = machine ./client.nix { onBridge = false; };
}
