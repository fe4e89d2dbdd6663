# Replaces the nixfmt of nixpkgs if the clone has no Haskell packages. It can be evaluated, but not built.
{ stdenvNoCC, lib }:
derivation {
  name = "nixfmt-not-there";
  system = stdenvNoCC.hostPlatform.system;
  builder = "/bin/false";
}
// {
  pname = "nixfmt";
  version = "0";
  meta = {
    mainProgram = "nixfmt";
    platforms = lib.platforms.all;
  };
}
