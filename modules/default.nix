# The modules, by their names in the flake's nixosModules.
rec {
  swarm-client = ./swarm.nix;
  test-origin = ./origin.nix;
  tuning = ./tuning.nix;
  dashboards = ./dashboards.nix;

  # Only the tuning, for hosts that run the programs in another way.
  swarm-client-sysctl = {
    imports = [ tuning ];
    services.hls-tuning.roles = [ "client" ];
  };
  test-origin-sysctl = {
    imports = [ tuning ];
    services.hls-tuning.roles = [ "origin" ];
  };

  default.imports = [
    swarm-client
    test-origin
    tuning
    dashboards
  ];
}
