# The options that instances of both programs share: a profile, and settings that override it.
{
  lib,
  format,
  facts,
  program,
  profiles,
}:
let
  names = builtins.attrNames profiles;
in
rec {
  options = {
    enable = lib.mkEnableOption "this instance" // {
      default = true;
    };

    profile = lib.mkOption {
      type = lib.types.either (lib.types.enum names) lib.types.path;
      default = "default";
      example = lib.literalExpression "./evening.toml";
      description = ''
        The profile that {option}`settings` override: a built-in profile of ${program}
        (${lib.concatMapStringsSep ", " (name: "`${name}`") names}), or a TOML file.
      '';
    };
  };

  # The contents of a built-in profile, of a file, or of null.
  contentOf =
    known: profile:
    if profile == null then
      { }
    else if lib.isString profile && known ? ${profile} then
      known.${profile}
    else
      lib.importTOML profile;

  # The settings that are set.
  set = lib.filterAttrsRecursive (_: value: value != null);

  # A profile with settings merged over it.
  resolve = profile: settings: facts.merge (contentOf profiles profile) (set settings);

  # The settings as a file that the program has validated.
  checked =
    pkgs: package: name: settings:
    let
      file = format.generate name settings;
      canRun = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
    in
    if canRun then
      pkgs.runCommand name { nativeBuildInputs = [ package ]; } ''
        ${program} config check ${file}
        cp ${file} $out
      ''
    else
      file;
}
