# In place of nixpkgs' nixfmt, where a clone lacks the Haskell packages: evaluates, cannot be built.
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
