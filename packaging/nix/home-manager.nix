# home-manager: the daemon of one user, as a systemd user unit or a launchd agent. A key is made once: srvd key generate
#
#   services.srvd.enable = true;
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.srvd;
  toml = pkgs.formats.toml { };
in
{
  options.services.srvd = {
    enable = lib.mkEnableOption "srvd, the identity daemon for AI coding agents";
    package = lib.mkPackageOption pkgs "srvd" { };
    settings = lib.mkOption {
      inherit (toml) type;
      default = { };
      example = {
        keepalive.enabled = true;
      };
      description = "Content of srvd.toml. It is not written if this is empty. It must contain no secret.";
    };
  };

  config = lib.mkIf cfg.enable {
    home.packages = [ cfg.package ];
    home.file.${if pkgs.stdenv.hostPlatform.isDarwin then "Library/Application Support/srvd/srvd.toml" else ".config/srvd/srvd.toml"} =
      lib.mkIf (cfg.settings != { }) { source = toml.generate "srvd.toml" cfg.settings; };

    # The values are those of config/systemd/srvd.service.
    systemd.user.services.srvd = lib.mkIf pkgs.stdenv.hostPlatform.isLinux {
      Unit = {
        Description = "Identity daemon for AI coding agents";
        StartLimitIntervalSec = 60;
        StartLimitBurst = 5;
      };
      Service = {
        Type = "exec";
        ExecStart = lib.getExe cfg.package;
        ExecStartPost = "${lib.getExe cfg.package} wait --timeout 30";
        Restart = "on-failure";
        RestartSec = 1;
        RestartPreventExitStatus = "64 73 75 77 78";
        KillMode = "mixed";
        TimeoutStopSec = 20;
        UMask = "0077";
        LimitCORE = 0;
        LimitNOFILE = 65536;
        NoNewPrivileges = true;
      };
      Install.WantedBy = [ "default.target" ];
    };

    # The values are those of config/launchd/dev.srvd.srvd.plist.
    launchd.agents.srvd = {
      enable = true;
      config = {
        ProgramArguments = [ (lib.getExe cfg.package) ];
        RunAtLoad = true;
        KeepAlive = {
          SuccessfulExit = false;
          Crashed = true;
        };
        ThrottleInterval = 10;
        ProcessType = "Background";
        ExitTimeOut = 20;
        Umask = 63;
        StandardErrorPath = "${config.home.homeDirectory}/Library/Logs/srvd.log";
      };
    };
  };
}
