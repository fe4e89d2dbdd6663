# A small FFmpeg that can only play HLS, with a quarter of the memory of a full one (docs/viewer-ffmpeg.md). It uses
# the source and patches of nixpkgs, configured like scripts/viewer-ffmpeg.
{
  lib,
  stdenv,
  ffmpeg-headless,
  gnutls,
  nasm,
  perl,
  pkg-config,
  zlib,
}:
let
  lines = lib.splitString "\n" (builtins.readFile ../scripts/viewer-ffmpeg.flags);
  flags = builtins.filter (line: line != "" && !lib.hasPrefix "#" line) lines;
in
stdenv.mkDerivation {
  pname = "hls-viewer-ffmpeg";
  inherit (ffmpeg-headless) version src patches;

  postPatch = "patchShebangs .";

  configurePlatforms = [ ];
  # FFmpeg's configure script is not from autoconf, and rejects unknown options.
  setOutputFlags = false;
  dontDisableStatic = true;
  configureFlags =
    flags
    ++ [
      "--arch=${stdenv.hostPlatform.parsed.cpu.name}"
      "--target-os=${stdenv.hostPlatform.parsed.kernel.name}"
      "--cc=${stdenv.cc.targetPrefix}cc"
      "--pkg-config=${stdenv.cc.targetPrefix}pkg-config"
    ]
    ++ lib.optional (stdenv.buildPlatform != stdenv.hostPlatform) "--enable-cross-compile";

  nativeBuildInputs = [
    perl
    pkg-config
  ]
  ++ lib.optional stdenv.hostPlatform.isx86 nasm;
  buildInputs = [
    gnutls
    zlib
  ];
  enableParallelBuilding = true;

  buildFlags = [ "ffmpeg" ];
  installPhase = ''
    runHook preInstall
    install -Dm755 ffmpeg $out/bin/hls-viewer-ffmpeg
    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    $out/bin/hls-viewer-ffmpeg -hide_banner -demuxers | grep -qw hls
    $out/bin/hls-viewer-ffmpeg -hide_banner -protocols | grep -qw https
  '';

  meta = {
    description = "FFmpeg that can only play HLS and discard it, for load tests";
    license = lib.licenses.lgpl21Plus;
    mainProgram = "hls-viewer-ffmpeg";
    platforms = lib.platforms.linux;
  };
}
