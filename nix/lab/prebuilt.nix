# Takes the place of nix/package.nix with PREBUILT=DIR of scripts/nix-build: the same outputs, with programs that cargo
# has built outside of the sandbox.
{
  lib,
  glibc,
  patchelf,
  runCommand,
  makeBinaryWrapper,
  ffmpeg-headless,
  hls-viewer-ffmpeg,
  nginx,
}:
let
  cargo = lib.importTOML ../Cargo.toml;
in
runCommand "${cargo.package.name}-prebuilt-${cargo.workspace.package.version}"
  {
    inherit (cargo.workspace.package) version;
    outputs = [
      "out"
      "origin"
    ];
    nativeBuildInputs = [
      makeBinaryWrapper
      patchelf
    ];
    meta.mainProgram = "hls-swarm";
  }
  ''
    install -D ${./lab/prebuilt/hls-swarm} $out/bin/hls-swarm
    install -D ${./lab/prebuilt/hls-origin} $origin/bin/hls-origin
    patchelf --set-interpreter ${glibc}/lib/ld-linux-x86-64.so.2 --set-rpath ${glibc}/lib $out/bin/hls-swarm
    patchelf --set-interpreter ${glibc}/lib/ld-linux-x86-64.so.2 --set-rpath ${glibc}/lib $origin/bin/hls-origin
    install -d $out/libexec/hls-swarm
    ln -s ${lib.getExe hls-viewer-ffmpeg} $out/libexec/hls-swarm/
    wrapProgram $origin/bin/hls-origin --suffix PATH : ${
      lib.makeBinPath [
        ffmpeg-headless
        nginx
      ]
    }
  ''
