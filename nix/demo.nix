# The demo: the test origin, 20 viewers for 10 s, the summary and reports in the current directory.
{ pkgs }:
pkgs.writeShellApplication {
  name = "hls-demo";
  # `hls-swarm demo` serves an embedded stream if one of these is missing.
  runtimeInputs = with pkgs; [
    ffmpeg-headless
    hls-origin
    nginx
  ];
  text = "exec ${pkgs.lib.getExe pkgs.hls-swarm} demo \"$@\"";
  meta.description = "Test origin and 20 viewers for 10 s, with a summary and reports";
}
