# The machine of the test origin, with one profile.
{
  config,
  lib,
  facts,
  profile,
  onBridge,
  ...
}:
let
  inherit (facts) network;
  settings = config.services.hls-origin.instances.main.resolved;
  derived = facts.origin.derive settings;
  mebibyte = 1024 * 1024;
in
{
  imports = [
    (import ./interface.nix {
      inherit lib facts onBridge;
      role = "origin";
      forwards = {
        origin_stream_forward = "stream_port";
        origin_node_forward = "node_port";
        origin_nginx_forward = "nginx_port";
        origin_ssh_forward = "ssh_port";
      };
    })
  ];

  networking.hostName = "hls-origin";

  # The system, and a tmpfs with space for the stream; its default size is half of the memory.
  microvm.mem = 768 + 2 * (derived.storage_bytes / mebibyte);

  services.hls-tuning = {
    roles = [ "origin" ];
    # The complete list: nothing else is in this network.
    variant = "lab";
  };
  services.hls-origin = {
    enable = true;
    instances.main = {
      inherit profile;
      settings.serve = {
        # Reachable from outside, independently of the profile.
        listen = "0.0.0.0";
        port = network.stream_port;
      };
      openFirewall = true;
    };
  };
}
