# The machine of the viewers: runs the scenario of the lab against the origin, writes its report to ./share, and
# shuts down. `STREAM_URL=… microvm-run` plays another stream. With user networking, the metrics and SSH are forwarded
# from the host.
{
  config,
  lib,
  pkgs,
  facts,
  onBridge,
  ...
}:
let
  inherit (facts) network;
  needs = facts.swarm.derive config.services.hls-swarm.instances.lab.resolved;
  mebibyte = 1024 * 1024;
  origin =
    if onBridge then
      "${network.origin_address}:${toString network.stream_port}"
    else
      "${network.user_host_address}:${toString network.origin_stream_forward}";
in
{
  imports = [
    (import ./interface.nix {
      inherit lib facts onBridge;
      role = "client";
      forwards = {
        client_metrics_forward = "metrics_port";
        client_ssh_forward = "ssh_port";
      };
    })
  ];

  networking.hostName = "hls-client";
  microvm.mem = 768 + needs.memory_bytes / mebibyte;
  microvm.preStart = ''
    printf 'STREAM_URL=%s\n' "''${STREAM_URL:-}" | grep -v '=$' >share/environment || true
  '';

  services.hls-tuning = {
    roles = [ "client" ];
    # The complete list: nothing else is in this network.
    variant = "lab";
  };
  services.hls-swarm = {
    enable = true;
    instances.lab = {
      scenario = "lab";
      settings = {
        url = "http://${origin}/stream.m3u8";
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
    serviceConfig = {
      # STREAM_URL, which overrides the URL of the settings.
      EnvironmentFile = "-/share/environment";
      ExecStopPost = "+${pkgs.writeShellScript "leave-the-report" ''
        cp /var/lib/private/hls-swarm/lab/report.* /share/
        echo "$EXIT_STATUS" >/share/exit-code
      ''}";
    };
    unitConfig = {
      RequiresMountsFor = "/share";
      # QEMU exits when the machine reboots.
      SuccessAction = "reboot";
      FailureAction = "reboot";
    };
  };
}
