# services.hls-tuning: kernel settings, limits, and disks as profiles/sysctl/*.toml recommend them, where each key
# has its reason. The programs check and apply the same files (`hls-swarm tune`).
{ config, lib, ... }:
let
  cfg = config.services.hls-tuning;
  facts = import ../nix/profiles.nix;
  kernel = config.boot.kernelPackages.kernel.version;

  # The keys of a role that this kernel has, with those of the variant merged over them. systemd sets some to their
  # highest value at boot, which a file in sysctl.d would lower.
  keysOf =
    role:
    let
      profile = facts.sysctl.${role};
      keys = profile.key // (profile.variant.${toString cfg.variant} or { key = { }; }).key;
    in
    lib.filterAttrs (
      _: key: lib.versionAtLeast kernel (key.since or "0") && !(key.raised_by_systemd or false)
    ) keys;

  # nixpkgs needs numbers for keys of which it uses the highest value.
  value = text: if builtins.match "[0-9]{1,18}" text != null then lib.toInt text else text;

  variants = lib.unique (
    lib.concatMap (role: builtins.attrNames (facts.sysctl.${role}.variant or { })) cfg.roles
  );

  disks = facts.sysctl.origin.disk;
  rule =
    match: disk:
    "ACTION==\"add|change\", SUBSYSTEM==\"block\", ENV{DEVTYPE}==\"disk\", ${match}"
    + lib.optionalString (disk ? scheduler) ", ATTR{queue/scheduler}=\"${disk.scheduler}\""
    + lib.optionalString (
      disk ? read_ahead_kb
    ) ", ATTR{queue/read_ahead_kb}=\"${toString disk.read_ahead_kb}\"";
in
{
  options.services.hls-tuning = {
    roles = lib.mkOption {
      type = lib.types.listOf (lib.types.enum (builtins.attrNames facts.sysctl));
      default = [ ];
      example = [ "client" ];
      description = ''
        The purposes of the host: `client` runs viewers, `origin` serves streams. With both, the values
        of `origin` take precedence. Values in {option}`boot.kernel.sysctl` override both.
      '';
    };

    variant = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "bbr";
      description = "A variant of the settings, as in {command}`hls-swarm tune --variant`.";
    };

    limits = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether to raise the limits of open files and processes of users.";
    };

    disks = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether to set scheduler and read-ahead of the disks for an origin.";
    };
  };

  config = lib.mkIf (cfg.roles != [ ]) {
    assertions = [
      {
        assertion = cfg.variant == null || lib.elem cfg.variant variants;
        message = "services.hls-tuning.variant: there is no variant \"${toString cfg.variant}\"; there are ${lib.concatStringsSep ", " variants}.";
      }
      {
        assertion = cfg.disks -> lib.elem "origin" cfg.roles;
        message = "services.hls-tuning.disks is for origins; add \"origin\" to services.hls-tuning.roles.";
      }
    ];

    # Overridden by what a user sets; overrides the defaults of nixpkgs.
    boot.kernel.sysctl = lib.mkMerge (
      lib.imap0 (
        place: role: lib.mapAttrs (_: key: lib.mkOverride (950 - place) (value key.value)) (keysOf role)
      ) (lib.sort (a: b: a < b) (lib.unique cfg.roles))
    );

    security.pam.loginLimits = lib.mkIf cfg.limits (
      # Soft limits only: a hard limit here would lower that of the system.
      map
        (item: {
          domain = "*";
          type = "soft";
          inherit item;
          value = toString (
            lib.foldl' lib.max 0 (map (role: facts.sysctl.${role}.limits.${item} or 0) cfg.roles)
          );
        })
        [
          "nofile"
          "nproc"
        ]
    );

    services.udev.extraRules = lib.mkIf cfg.disks (
      lib.concatStringsSep "\n" [
        (rule "ATTR{queue/rotational}==\"1\", KERNEL!=\"md*\"" disks.rotating)
        (rule "KERNEL==\"md*\"" (removeAttrs disks.raid [ "scheduler" ]))
        (rule "KERNEL==\"nvme*\"" disks.nvme)
      ]
      + "\n"
    );
  };
}
