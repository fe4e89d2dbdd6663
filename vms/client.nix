# The machine of the viewers: plays the lab's scenario against the origin on the bridge, leaves its
# report in ./share, and ends.
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

  # Root may write to the share, the run may not; the exit code tells the verdict.
  systemd.services.hls-swarm-lab = {
    serviceConfig.ExecStopPost = "+${pkgs.writeShellScript "leave-the-report" ''
      cp /var/lib/private/hls-swarm/lab/report.* /share/
      echo "$EXIT_STATUS" >/share/exit-code
    ''}";
    # QEMU ends where a machine would start again.
    unitConfig = {
      SuccessAction = "reboot";
      FailureAction = "reboot";
    };
  };
}
