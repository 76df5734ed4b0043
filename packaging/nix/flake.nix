{
  description = "The identity daemon for AI coding agents";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  # Used with the directory, because the flake is not in the root: nix build "git+file:.?dir=packaging/nix"
  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (pkgs: rec {
        srvd = pkgs.callPackage ./package.nix { };
        default = srvd;
      });
      overlays.default = final: prev: { srvd = final.callPackage ./package.nix { }; };
      nixosModules.default =
        { pkgs, lib, ... }:
        {
          imports = [ ./nixos.nix ];
          services.srvd.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.srvd;
        };
      homeManagerModules.default =
        { pkgs, lib, ... }:
        {
          imports = [ ./home-manager.nix ];
          services.srvd.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.srvd;
        };
    };
}
