# The demo: the test origin, 20 viewers for 30 s, the summary and a report in the current directory.
{ pkgs }:
let
  programs = pkgs.symlinkJoin {
    name = "hls-swarm-programs";
    paths = [
      pkgs.hls-swarm
      pkgs.hls-origin
    ];
  };
in
pkgs.writeShellApplication {
  name = "hls-demo";
  # The script looks for both to choose between the real and the embedded origin.
  runtimeInputs = with pkgs; [
    coreutils
    ffmpeg-headless
    gnugrep
    gnused
    nginx
  ];
  text = "exec sh ${../scripts/demo} ${programs}/bin \"$@\"";
  meta.description = "Test origin and 20 viewers for 30 s, with a summary and a report";
}
