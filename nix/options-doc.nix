# The reference of the modules' options, from the options themselves (docs/module-options.md).
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
    "hls."
  ];
  isOurs = option: lib.any (prefix: lib.hasPrefix prefix option.name) ours;
  list = lib.filter (option: option.visible && !option.internal && isOurs option) (
    lib.optionAttrSetToDocList {
      inherit (evaluated.options) hls;
      services = { inherit (evaluated.options.services) hls-swarm hls-origin; };
    }
  );

  # Nix's own words about a value, or text.
  shown = value: if value ? text then value.text else builtins.toJSON value;
  code = value: "`${lib.replaceStrings [ "\n" ] [ " " ] (shown value)}`";
  # Markdown has no roles; the name of an option or a command is code.
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

    Made from the options by `scripts/check-nix --write`; not to be edited.

  ''
  + lib.concatMapStringsSep "\n" section list
)
