# Generates the reference of the modules' options (docs/module-options.md).
{
  pkgs,
  lib,
  modules,
}:
let
  evaluated = lib.nixosSystem {
    modules = [
      { nixpkgs.pkgs = pkgs; }
      modules.default
    ];
  };
  ours = [
    "services.hls-swarm"
    "services.hls-origin"
    "services.hls-tuning"
    "services.hls-dashboards"
  ];
  isOurs = option: lib.any (prefix: lib.hasPrefix prefix option.name) ours;
  list = lib.filter (option: option.visible && !option.internal && isOurs option) (
    lib.optionAttrSetToDocList {
      services = {
        inherit (evaluated.options.services)
          hls-swarm
          hls-origin
          hls-tuning
          hls-dashboards
          ;
      };
    }
  );

  # The text of a default value, or the value as Nix code.
  shown = value: if value ? text then value.text else builtins.toJSON value;
  code = value: "`${lib.replaceStrings [ "\n" ] [ " " ] (shown value)}`";
  # Markdown has no roles, so the names of options and commands become code.
  plain =
    text:
    lib.concatStrings (
      map (part: if lib.isList part then "`" + builtins.elemAt part 1 + "`" else part) (
        builtins.split "\\{(option|command|file|manpage)}`([^`]*)`" text
      )
    );
  section = option: ''
    ## `${option.name}`

    ${plain (lib.trim (option.description.text or option.description))}

    * type: ${option.type}
    ${
      lib.optionalString (option ? default)
        "* default: ${
          if option.default._type or "" == "literalMD" then plain option.default.text else code option.default
        }\n"
    }${
      lib.optionalString (
        option ? example
      ) "* example:\n\n```nix\n${lib.trim (shown option.example)}\n```\n"
    }'';
in
pkgs.writeText "module-options.md" (
  ''
    # Options of the NixOS modules

    Generated from the options by `scripts/check-nix --write`. Do not edit.

  ''
  + lib.concatMapStringsSep "\n" section list
)
