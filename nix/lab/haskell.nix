# In place of nixpkgs' list of Haskell packages, where a clone lacks that file: names that evaluate and
# cannot be built. NixOS asks for these three only; nixpkgs overrides both a package and its derivation.
{ lib, pkgs, ... }:
_self:
let
  derive = lib.makeOverridable (
    { pname, mainProgram, ... }:
    derivation {
      name = "${pname}-not-there";
      inherit (pkgs.stdenv.hostPlatform) system;
      builder = "/bin/false";
    }
    // {
      inherit pname;
      version = "0";
      meta = {
        inherit mainProgram;
        platforms = lib.platforms.all;
      };
      passthru = { };
      # As where GHC does not exist: checks that need it are left out.
      compiler.bootstrapAvailable = false;
    }
  );
  package =
    pname: mainProgram:
    lib.makeOverridable ({ mkDerivation }: mkDerivation { inherit pname mainProgram; }) {
      mkDerivation = derive;
    };
in
{
  ShellCheck = package "ShellCheck" "shellcheck";
  nixfmt = package "nixfmt" "nixfmt";
  pandoc-cli = package "pandoc-cli" "pandoc";
}
