# An origin that logs every request, and a client that runs the scenario of the lab against it. Booting machines is
# expensive, so all tests share one pair; each test is a function in its own file.
{
  lib,
  facts,
  modules,
  ...
}:
let
  inherit (facts) network;
  stream = "http://origin:${toString network.stream_port}/stream.m3u8";

  machine = role: {
    imports = [ modules.default ];
    virtualisation = {
      cores = 2;
      memorySize = 1536;
    };
    documentation.enable = false;
    services.hls-tuning = {
      roles = [ role ];
      variant = "lab";
    };
  };

  # Name of function and file, and description. Tests that change the machines come last.
  tests = [
    (lib.nameValuePair "tuned" "the kernel has the values of profiles/sysctl")
    (lib.nameValuePair "counted" "the report counts the same requests as nginx's log")
    (lib.nameValuePair "merged" "two instances at the same time, one report")
    (lib.nameValuePair "impaired" "viewers keep playing with the standard impairment of the lab")
    (lib.nameValuePair "killed" "the origin is killed, and viewers reconnect")
  ];
in
{
  nodes = {
    origin = {
      imports = [ (machine "origin") ];
      boot.kernelModules = [ "sch_netem" ];
      services.hls-origin = {
        enable = true;
        instances.main = {
          profile = "low-latency";
          settings = {
            serve.listen = "0.0.0.0";
            log.access = "all";
          };
          openFirewall = true;
        };
      };
    };

    client = {
      imports = [ (machine "client") ];
      services.hls-swarm = {
        enable = true;
        instances = {
          lab = {
            scenario = "lab";
            settings.url = stream;
          };
          second = {
            scenario = "lab";
            settings = {
              url = stream;
              metrics = "off";
              user_agent = "second";
            };
          };
          long = {
            scenario = "lab";
            settings = {
              url = stream;
              metrics = "off";
              duration = "90s";
            };
          };
        };
      };
    };
  };

  testScript = lib.concatStringsSep "\n\n" (
    [
      (builtins.readFile ./common.py)
      ''
        STREAM = "${stream}"
        SYSCTL = json.loads('${
          builtins.toJSON (
            lib.mapAttrs (
              _: role: lib.mapAttrs (_: key: key.value) (role.key // role.variant.lab.key)
            ) facts.sysctl
          )
        }')
      ''
    ]
    ++ map (test: builtins.readFile (./. + "/${test.name}.py")) tests
    ++ [
      ''
        start_all()
        origin.wait_for_unit("hls-origin-main.service")
        client.wait_for_unit("multi-user.target")
        # When the unit is ready, the stream can be fetched.
        client.succeed(f"curl --fail --silent {STREAM} | grep -q EXTINF")
      ''
    ]
    ++ map (test: ''
      with subtest("${test.value}"):
          ${test.name}()
    '') tests
  );
}
