# The packages of nixpkgs that this flake uses, as far as Debian has them. Another one is one line more here, and the
# name of its Debian package in scripts/nix-build.
{
  lib,
  debian,
  self,
  super,
}:
let
  inherit (debian)
    library
    linked
    make
    programs
    versionOf
    ;

  # The toolchain of the host, mounted at /opt/rust.
  toolchain =
    pname: names:
    make {
      inherit pname;
      version = builtins.readFile ./rust-version;
      script = ''
        mkdir -p $out/bin
        for name in ${toString names}; do ln -s /opt/rust/bin/$name $out/bin/; done
      '';
      passthru = {
        targetPlatforms = lib.platforms.linux;
        badTargetPlatforms = [ ];
        llvmPackages = { };
      };
    };

  python3 = linked "python3" [ "python3" "python3-minimal" ] {
    passthru = {
      interpreter = "/usr/bin/python3";
      isPy3 = true;
      isPy3k = true;
      libPrefix = "python3.13";
      pkgs.flake8 = linked "flake8" [ "flake8" ] { };
      pythonAtLeast = version: lib.versionAtLeast "3.13" version;
      pythonOlder = version: lib.versionOlder "3.13" version;
      pythonOnBuildForHost = python3;
      pythonVersion = "3.13";
      sitePackages = "lib/python3.13/site-packages";
      withPackages = _: python3;
    };
  };
in
{
  # --- Builds of Rust. ---
  rustc = toolchain "rustc" [
    "rustc"
    "rustdoc"
  ];
  cargo = toolchain "cargo" [ "cargo" ];
  rustPlatform = self.makeRustPlatform { inherit (self) cargo rustc; };
  # A package builds without it where it is broken.
  cargo-auditable = make {
    pname = "cargo-auditable";
    version = "0";
    script = "exit 1";
    meta.broken = true;
  };

  # --- Builds of FFmpeg. ---
  nasm = programs "nasm" [ "nasm" ] { };
  perl = linked "perl" [ "perl-base" "perl" ] { };
  pkg-config-unwrapped = programs "pkg-config" [ "pkgconf-bin" ] {
    more = ''
      [ -e $out/bin/pkg-config ] || ln -s pkgconf $out/bin/pkg-config
      mkdir -p $out/share
      cp -r /usr/share/aclocal $out/share/
    '';
  };
  gnutls = library "gnutls" [ "libgnutls28-dev" "libgnutls30t64" ] { };
  zlib = library "zlib" [ "zlib1g-dev" "zlib1g" ] { };

  # --- What the programs run. ---
  ffmpeg-headless = programs "ffmpeg" [ "ffmpeg" ] {
    # Debian's source package, for nix/viewer-ffmpeg.nix.
    passthru = {
      src = ./ffmpeg.tar.xz;
      patches = [ ];
    };
  };
  nginx = programs "nginx" [ "nginx" ] { };

  # --- Images, scripts, and checks. ---
  inherit python3;
  python3Minimal = python3;
  python3Packages = {
    inherit (python3.pkgs) flake8;
    python = python3;
  };
  bubblewrap = programs "bubblewrap" [ "bubblewrap" ] { meta.mainProgram = "bwrap"; };
  cacert = make {
    pname = "nss-cacert";
    debs = [ "ca-certificates" ];
    script = ''
      mkdir -p $out/etc/ssl/certs
      cat /usr/share/ca-certificates/mozilla/*.crt >$out/etc/ssl/certs/ca-bundle.crt
    '';
  };
  curl = programs "curl" [ "curl" ] { };
  dash = programs "dash" [ "dash" ] { };
  fakeroot = make {
    pname = "fakeroot";
    debs = [ "fakeroot" ];
    # A script that looks for getopt in PATH. The sandbox's user namespace has no other users, so that a real chown fails.
    script = ''
      mkdir -p $out/bin
      printf '#!/bin/sh\nPATH=$PATH:/usr/bin FAKEROOTDONTTRYCHOWN=1 exec /usr/bin/fakeroot-sysv "$@"\n' >$out/bin/fakeroot
      chmod +x $out/bin/fakeroot
    '';
  };
  file = programs "file" [ "file" ] { };
  glibcLocales = lib.makeOverridable (
    {
      allLocales ? true,
      locales ? [ ],
    }:
    make {
      pname = "glibc-locales";
      version = versionOf "libc6";
      debs = [ "libc-bin" ];
      script = ''
        mkdir -p $out/lib/locale
        cp -r /usr/lib/locale/C.utf8 $out/lib/locale/
        touch $out/lib/locale/locale-archive
      '';
    }
  ) { };
  iproute2 = programs "iproute2" [ "iproute2" ] { meta.mainProgram = "ip"; };
  jq = programs "jq" [ "jq" ] { };
  # nixfmt_rs, which scripts/nix-build installs.
  nixfmt = make {
    pname = "nixfmt";
    version = "0";
    script = ''
      mkdir -p $out/bin
      ln -s /usr/local/bin/nixfmt $out/bin/
    '';
  };
  # Writes the settings files of the modules.
  remarshal = make {
    pname = "remarshal";
    version = "0";
    script = ''
      mkdir -p $out/bin
      ln -s /usr/local/bin/{json2toml,toml2json} $out/bin/
    '';
  };
  shellcheck-minimal = linked "shellcheck" [ "shellcheck" ] {
    passthru.compiler.bootstrapAvailable = true;
  };
  systemd = programs "systemd" [ "systemd" ] {
    more = ''
      mkdir -p $out/lib/systemd $out/example/systemd
      cp /usr/lib/systemd/systemd $out/lib/systemd/
      cp -r /usr/lib/systemd/system $out/example/systemd/
    '';
    passthru = {
      interfaceVersion = 2;
      override = _: self.systemd;
    };
  };
  tzdata = make {
    pname = "tzdata";
    debs = [ "tzdata" ];
    script = ''
      mkdir -p $out/share
      cp -r /usr/share/zoneinfo $out/share/
    '';
  };
  xorg = super.xorg // {
    lndir = programs "lndir" [ "xutils-dev" ] { };
  };
}
