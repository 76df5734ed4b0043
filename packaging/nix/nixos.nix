# NixOS: the hardened system unit of the package, one daemon for each user. The unit's text is that of config/systemd, so
# that a change there reaches NixOS too.
#
#   services.srvd = {
#     enable = true;
#     users = [ "alice" ];
#   };
#
# The key of each user is made once: srvd key generate --output /etc/srvd/alice.key
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.srvd;
in
{
  options.services.srvd = {
    enable = lib.mkEnableOption "srvd, the identity daemon for AI coding agents";
    package = lib.mkPackageOption pkgs "srvd" { };
    users = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "alice" ];
      description = "Users whose daemon starts with the system. Others can start the user unit: systemctl --user start srvd.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    systemd.packages = [ cfg.package ];
    # NixOS ignores the [Install] section of a unit that comes in a package.
    systemd.services = lib.listToAttrs (
      map (
        user:
        lib.nameValuePair "srvd@${user}" {
          overrideStrategy = "asDropin";
          wantedBy = [ "multi-user.target" ];
        }
      ) cfg.users
    );
  };
}
