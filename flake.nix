{
  description = "Load testing of HTTP Live Streaming with real FFmpeg viewers, and the matching test origin";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    microvm = {
      url = "github:microvm-nix/microvm.nix";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.spectrum.follows = "";
    };
  };

  # Wiring only: each package, module, machine and check is defined in its own file.
  outputs =
    {
      self,
      nixpkgs,
      microvm,
    }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      facts = import ./nix/profiles.nix;
      pkgsFor = lib.genAttrs systems (
        system:
        import nixpkgs {
          inherit system;
          overlays = [ self.overlays.default ];
        }
      );
      eachSystem = make: lib.genAttrs systems (system: make pkgsFor.${system});

      # The machines of each system, by name.
      machines = eachSystem (
        pkgs:
        import ./vms {
          inherit pkgs lib facts;
          inherit (microvm.nixosModules) microvm;
          modules = self.nixosModules;
        }
      );
    in
    {
      overlays.default = import ./nix/overlay.nix;

      nixosModules = import ./modules;

      packages = eachSystem (
        pkgs:
        import ./nix/packages.nix {
          inherit pkgs lib facts;
          machines = machines.${pkgs.stdenv.hostPlatform.system};
          modules = self.nixosModules;
        }
      );

      apps = eachSystem (
        pkgs:
        import ./nix/apps.nix {
          inherit pkgs lib facts;
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
          flake = self;
        }
      );

      # The machines of the lab, and both with user networking. Every machine is also a package.
      nixosConfigurations = lib.getAttrs [
        "swarm-client-microvm"
        "swarm-client-vm"
        "test-origin-vm"
        "test-origin-vm-tap"
      ] machines.x86_64-linux;

      devShells = eachSystem (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      # For scripts/check-nix, which checks the messages for wrong configurations, and for scripts/nix-build.
      legacyPackages = eachSystem (pkgs: {
        lab = import ./nix/lab {
          inherit pkgs lib;
          apps = self.apps.${pkgs.stdenv.hostPlatform.system};
          checks = self.checks.${pkgs.stdenv.hostPlatform.system};
          modules = self.nixosModules;
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        };
        refused = import ./nix/checks/refused.nix {
          inherit pkgs lib;
          hostOf = import ./nix/checks/host.nix {
            inherit pkgs lib;
            modules = self.nixosModules;
          };
        };
      });

      checks = eachSystem (
        pkgs:
        import ./nix/checks {
          inherit pkgs lib facts;
          machines = machines.${pkgs.stdenv.hostPlatform.system};
          modules = self.nixosModules;
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        }
      );
    };
}
