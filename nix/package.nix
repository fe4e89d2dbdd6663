# hls-swarm and hls-origin. The FFmpeg of the viewers is where hls-swarm searches first. hls-origin finds nginx and
# an FFmpeg with encoders at the end of its PATH.
{
  lib,
  rustPlatform,
  makeBinaryWrapper,
  ffmpeg-headless,
  hls-viewer-ffmpeg,
  nginx,
}:
let
  manifest = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage {
  pname = manifest.package.name;
  inherit (manifest.workspace.package) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../crates
      ../clippy.toml
      ../LICENSE
      ../README.md
      ../benches
      ../probe
      ../profiles
      ../src
      ../tests
      ../vms/network.toml
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ makeBinaryWrapper ];

  # Only tests that need no other program; `make test` and the NixOS tests run the rest.
  cargoTestFlags = [
    "--workspace"
    "--lib"
  ];

  postInstall = ''
    install -d $out/libexec/hls-swarm
    ln -s ${lib.getExe hls-viewer-ffmpeg} $out/libexec/hls-swarm/
    wrapProgram $out/bin/hls-origin --suffix PATH : ${
      lib.makeBinPath [
        ffmpeg-headless
        nginx
      ]
    }
  '';

  meta = {
    inherit (manifest.package) description;
    license = lib.licenses.mit;
    mainProgram = "hls-swarm";
    platforms = lib.platforms.linux;
  };
}
