# The common configuration of the lab's machines: small, with login by SSH key only; results and keys are in ./share
# of the directory in which the machine was started.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.networking) hostName;
  hash = builtins.hashString "sha256" hostName;
  part = from: length: builtins.substring from length hash;
in
{
  documentation.enable = false;
  system.stateVersion = lib.trivial.release;

  microvm = {
    hypervisor = "qemu";
    # The ID of a machine never changes.
    machineId = "${part 0 8}-${part 8 4}-${part 12 4}-${part 16 4}-${part 20 12}";
    preStart = "mkdir -p share";
    shares = [
      {
        proto = "9p";
        tag = "share";
        source = "share";
        mountPoint = "/share";
      }
      {
        proto = "9p";
        tag = "ro-store";
        source = "/nix/store";
        mountPoint = "/nix/.ro-store";
      }
    ];
  };

  networking.useNetworkd = true;
  networking.useDHCP = false;

  services.openssh = {
    enable = true;
    authorizedKeysFiles = lib.mkForce [ "/share/authorized_keys" ];
    settings = {
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      # The share belongs to the user who started the machine, not to root.
      StrictModes = false;
    };
  };
  # Access to the console means full access to the machine.
  services.getty.autologinUser = "root";

  environment.systemPackages = [
    pkgs.curl
    pkgs.iproute2
  ];
}
