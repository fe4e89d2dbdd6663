# Derivations that copy or link what Debian packages install (copy.sh). ./versions.json, which scripts/nix-build writes,
# has the versions of all installed packages, so that an upgrade builds anew.
{ lib, system }:
let
  versions = builtins.fromJSON (builtins.readFile ./versions.json);

  # 7:5.1.2+dfsg-3 is version 5.1.2 of what Debian packages.
  versionOf = deb: builtins.elemAt (builtins.match "([0-9]+:)?([0-9a-z.]*).*" versions.${deb}) 1;

  # A package as nixpkgs expects one: it can be overridden, which changes nothing, and every output is the same.
  make =
    {
      pname,
      debs ? [ ],
      version ? versionOf (builtins.head debs),
      script,
      meta ? { },
      passthru ? { },
    }:
    let
      itself = _: package;
      outputs = lib.genAttrs [ "bin" "dev" "lib" "static" ] (_: package);
      package =
        lib.extendDerivation true
          (
            {
              inherit pname version;
              meta = {
                available = true;
                broken = false;
                license = lib.licenses.free;
                mainProgram = pname;
                outputsToInstall = [ "out" ];
                platforms = lib.platforms.linux;
              }
              // meta;
              override = itself;
              overrideAttrs = itself;
              overrideDerivation = itself;
            }
            // outputs
            // passthru
          )
          (derivation {
            name = "${pname}-${version}";
            inherit system debs;
            builder = "/bin/bash";
            args = [
              "-euo"
              "pipefail"
              "-c"
              ". ${./copy.sh}\n${script}"
            ];
            PATH = "/usr/bin:/usr/sbin";
            versions = map (deb: "${deb}=${versions.${deb}}") debs;
            glibc = if pname == "glibc" then "" else glibc;
          });
    in
    package;

  # `more` are further lines of the builder.
  by =
    function: pname: debs: arguments:
    make (
      {
        inherit pname debs;
        script = ''
          for deb in $debs; do ${function} "$deb"; done
          ${arguments.more or ""}
        '';
      }
      // removeAttrs arguments [ "more" ]
    );

  glibc = make {
    pname = "glibc";
    debs = [
      "libc6"
      "libc6-dev"
      "linux-libc-dev"
      "libcrypt1"
      "libcrypt-dev"
      "libgcc-s1"
      "libstdc++6"
    ];
    script = "glibc_of $debs";
    passthru.libgcc = null;
  };
in
{
  inherit glibc make versionOf;
  # Copies with all libraries.
  programs = by "programs_of";
  library = by "library_of";
  # Links to /usr, for what only builds need and is large.
  linked = by "link_programs_of";
}
