# hls-swarm and, as the output `origin`, hls-origin: the machines and images of viewers contain neither nginx nor an
# FFmpeg with encoders. The FFmpeg of the viewers is where hls-swarm searches first. hls-origin finds nginx and an
# FFmpeg with encoders at the end of its PATH.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  makeBinaryWrapper,
  ffmpeg-headless,
  hls-viewer-ffmpeg,
  nginx,
  runCommand,
  testers,
}:
let
  manifest = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage (finalAttrs: {
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
      # Unit tests compare their tables with these pages.
      ../docs/audit.md
      ../docs/tuning.md
      ../probe
      ../profiles
      ../src
      ../tests
      ../vms/network.toml
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  outputs = [
    "out"
    "origin"
  ];

  nativeBuildInputs = [
    installShellFiles
    makeBinaryWrapper
  ];

  # Only tests that need no other program; `make test` and the NixOS tests run the rest.
  cargoTestFlags = [
    "--workspace"
    "--lib"
  ];

  # The manual pages and completions come from the programs, so they can be made only where those can run.
  postInstall =
    lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
      for program in hls-swarm hls-origin; do
        $out/bin/$program man >$program.1
        for shell in bash fish zsh; do
          $out/bin/$program completions $shell >$program.$shell
        done
      done
      installManPage hls-swarm.1
      installShellCompletion --cmd hls-swarm --bash hls-swarm.bash --fish hls-swarm.fish --zsh hls-swarm.zsh
      install -Dm444 hls-origin.bash $origin/share/bash-completion/completions/hls-origin
      install -Dm444 hls-origin.fish $origin/share/fish/vendor_completions.d/hls-origin.fish
      install -Dm444 hls-origin.zsh $origin/share/zsh/site-functions/_hls-origin
    ''
    + ''
      install -d $out/libexec/hls-swarm $origin/bin
      ln -s ${lib.getExe hls-viewer-ffmpeg} $out/libexec/hls-swarm/
      mv $out/bin/hls-origin $origin/bin/
      wrapProgram $origin/bin/hls-origin --suffix PATH : ${
        lib.makeBinPath [
          ffmpeg-headless
          nginx
        ]
      }
    '';

  # nixpkgs moves the manual pages of all outputs into one while it fixes them up, so this one is installed later.
  postFixup = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    gzip -9n hls-origin.1
    install -Dm444 -t $origin/share/man/man1 hls-origin.1.gz
  '';

  passthru.tests = {
    version = testers.testVersion { package = finalAttrs.finalPackage; };
    version-of-origin = testers.testVersion {
      package = finalAttrs.finalPackage.origin;
      command = "hls-origin --version";
      inherit (finalAttrs) version;
    };
    # Viewers, their FFmpeg, the origin and its nginx, as the package brings them. A builder that has other work can make
    # a run invalid (exit code 5), never fail it; three runs in a row would be a fault.
    demo =
      runCommand "hls-swarm-test-demo"
        {
          nativeBuildInputs = [
            finalAttrs.finalPackage
            finalAttrs.finalPackage.origin
          ];
        }
        ''
          export HOME=$TMPDIR
          for attempt in 1 2 3; do
            code=0
            hls-swarm demo --report report.json || code=$?
            [ $code -eq 5 ] || break
          done
          [ $code -eq 0 ]
          grep -q '"verdict": "pass"' report.json
          install -Dm444 -t $out report.json
        '';
  };

  meta = {
    inherit (manifest.package) description;
    license = lib.licenses.mit;
    mainProgram = "hls-swarm";
    platforms = lib.platforms.linux;
  }
  # The address of the repository stands once, in Cargo.toml.
  // lib.optionalAttrs (manifest.workspace.package ? repository) {
    changelog = "${manifest.workspace.package.repository}/blob/v${manifest.workspace.package.version}/CHANGELOG.md";
  };
})
