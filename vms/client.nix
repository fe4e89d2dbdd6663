# The machine of the viewers: runs the scenario of the lab against the origin on the bridge, writes its report to
# ./share, and shuts down.
{
  config,
  lib,
  pkgs,
  facts,
  ...
}:
let
  inherit (facts) network;
  needs = facts.swarm.derive config.services.hls-swarm.instances.lab.resolved;
  mebibyte = 1024 * 1024;
in
{
  imports = [
    (import ./interface.nix {
      inherit lib facts;
      role = "client";
      onBridge = true;
    })
  ];

  networking.hostName = "hls-client";
  microvm.mem = 768 + needs.memory_bytes / mebibyte;

  hls.tuning = {
    roles = [ "client" ];
    # The complete list: nothing else is in this network.
    variant = "lab";
  };
  services.hls-swarm = {
    enable = true;
    instances.lab = {
      scenario = "lab";
      settings = {
        url = "http://${network.origin_address}:${toString network.stream_port}/stream.m3u8";
        reports = [
          "report.json"
          "report.html"
        ];
      };
      autoStart = true;
      openFirewall = true;
    };
  };

  # Only root may write to the share, not the run. The exit code is the verdict.
  systemd.services.hls-swarm-lab = {
    serviceConfig.ExecStopPost = "+${pkgs.writeShellScript "leave-the-report" ''
      cp /var/lib/private/hls-swarm/lab/report.* /share/
      echo "$EXIT_STATUS" >/share/exit-code
    ''}";
    # QEMU exits when the machine reboots.
    unitConfig = {
      SuccessAction = "reboot";
      FailureAction = "reboot";
    };
  };
}
