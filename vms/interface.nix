# The network interface of a machine: on the bridge of the lab with its own address, or user networking with ports
# forwarded from the host's loopback address.
{
  lib,
  facts,
  role,
  onBridge,
  forwards ? { },
}:
let
  inherit (facts) network;
  mac = network."${role}_mac";
in
{
  microvm = {
    # Several queues need several CPUs.
    vcpu = 2;
    interfaces = [
      (
        if onBridge then
          {
            type = "tap";
            id = network."${role}_tap";
            inherit mac;
            tap.vhost = true;
          }
        else
          {
            type = "user";
            id = role;
            inherit mac;
          }
      )
    ];
    forwardPorts = lib.optionals (!onBridge) (
      lib.mapAttrsToList (from: to: {
        host.address = "127.0.0.1";
        host.port = network.${from};
        guest.port = network.${to};
      }) forwards
    );
  };

  systemd.network.networks."10-lab" = {
    matchConfig.MACAddress = mac;
    networkConfig =
      if onBridge then
        {
          Address = "${network."${role}_address"}/${toString network.prefix_length}";
          Gateway = network.host_address;
        }
      else
        {
          DHCP = "ipv4";
        };
  };
}
