# The stages of a standard environment that consists of Debian's programs, where neither a binary cache nor the sources
# of a bootstrap can be reached. It takes the place of pkgs/stdenv/linux in a copy of nixpkgs (scripts/nix-build).
# stdenv.mkDerivation is nixpkgs' own, with its setup.sh, its hooks, and its wrappers of the compiler and linker.
{
  lib,
  localSystem,
  crossSystem,
  config,
  overlays,
  crossOverlays ? [ ],
}:
let
  debian = import ./debian.nix {
    inherit lib;
    inherit (localSystem) system;
  };
  inherit (debian)
    glibc
    linked
    make
    programs
    ;

  bash = programs "bash" [ "bash" ] {
    more = "ln -s bash $out/bin/sh";
    passthru.shellPath = "/bin/bash";
  };
  shell = "${bash}/bin/bash";
  patchelf = programs "patchelf" [ "patchelf" ] { };

  # What pkgs/stdenv/common-path.nix lists.
  common = {
    inherit bash;
    bzip2 = programs "bzip2" [ "bzip2" ] { };
    coreutils = programs "coreutils" [ "coreutils" ] { };
    diffutils = programs "diffutils" [ "diffutils" ] { };
    findutils = programs "findutils" [ "findutils" ] { };
    gawk = programs "gawk" [ "gawk" ] { more = "ln -sf gawk $out/bin/awk"; };
    gnugrep = programs "gnugrep" [ "grep" ] { };
    gnumake = programs "gnumake" [ "make" ] { };
    gnused = programs "gnused" [ "sed" ] { };
    gnutar = programs "gnutar" [ "tar" ] { };
    gzip = programs "gzip" [ "gzip" ] { };
    patch = programs "patch" [ "patch" ] { };
    xz = programs "xz" [ "xz-utils" ] { };
  };

  stdenvWith =
    {
      cc,
      fetchurl,
      overrides ? (_: _: { }),
    }:
    import ../generic {
      name = "stdenv-of-debian";
      buildPlatform = localSystem;
      hostPlatform = localSystem;
      targetPlatform = localSystem;
      inherit
        cc
        config
        overrides
        shell
        ;
      fetchurlBoot = fetchurl;
      initialPath = lib.attrValues common;
      extraNativeBuildInputs = [ patchelf ];
      # gcc and binutils are links to /usr, and look there for their own parts.
      preHook = ''
        export NIX_ENFORCE_PURITY=
        export NIX_ENFORCE_NO_NATIVE="''${NIX_ENFORCE_NO_NATIVE-1}"
      '';
    };

  wrapper = {
    inherit lib;
    inherit (common) coreutils gnugrep;
    nativeTools = false;
    nativeLibc = false;
    expand-response-params = "";
    runtimeShell = shell;
    libc = glibc;
  };
in
[
  # Without a compiler: builds the wrappers of gcc and ld.
  (
    { }:
    rec {
      __raw = true;
      stdenv = stdenvWith {
        cc = null;
        fetchurl = null;
      };
      stdenvNoCC = stdenv;

      fetchurl = import ../../build-support/fetchurl {
        inherit lib stdenvNoCC;
        curl = null;
        inherit (config) hashedMirrors rewriteURL;
      };

      cc = lib.makeOverridable (import ../../build-support/cc-wrapper) (
        wrapper
        // {
          inherit stdenvNoCC;
          isGNU = true;
          cc = make {
            pname = "gcc";
            debs = [ "gcc-14" ];
            script = ''
              mkdir -p $out/bin $out/lib
              ln -s /usr/bin/{gcc,g++,cpp} $out/bin/
              ln -s $glibc/lib/{libgcc_s.so.1,libstdc++.so.6} $out/lib/
            '';
            passthru = {
              isGNU = true;
              langC = true;
              langCC = true;
              hardeningUnsupportedFlags = [ ];
            };
          };
          bintools = lib.makeOverridable (import ../../build-support/bintools-wrapper) (
            wrapper
            // {
              inherit stdenvNoCC;
              bintools = linked "binutils" [ "binutils" ] { passthru.isGNU = true; };
            }
          );
        }
      );
    }
  )

  # With it: all packages.
  (before: {
    inherit config overlays;
    stdenv =
      stdenvWith {
        inherit (before) cc fetchurl;
        overrides =
          self: super:
          common
          // {
            inherit (before) fetchurl;
            inherit glibc patchelf;
            gcc = before.cc;
            bashInteractive = bash;
            bashNonInteractive = bash;
          }
          // import ./packages.nix {
            inherit
              lib
              debian
              self
              super
              ;
          };
      }
      // {
        inherit (before) fetchurl;
      };
  })
]
