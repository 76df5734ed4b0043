# The program, built from this checkout. Nixpkgs must have a Rust compiler of at least the version in Cargo.toml.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
}:
rustPlatform.buildRustPackage {
  pname = "srvd";
  version = (lib.importTOML ../../Cargo.toml).workspace.package.version;
  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [
    "-p"
    "srvd"
  ];
  # The tests need PostgreSQL, namespaces and the CLIs of providers; scripts/test.sh gets them.
  doCheck = false;
  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    mkdir pages
    $out/bin/srvd man --out pages
    installManPage pages/*.1
    installShellCompletion --cmd srvd \
      --bash <($out/bin/srvd completions bash) \
      --fish <($out/bin/srvd completions fish) \
      --zsh <($out/bin/srvd completions zsh)
  '' + lib.optionalString stdenv.hostPlatform.isLinux ''
    for unit in srvd.service:user srvd@.service:system; do
      mkdir -p $out/lib/systemd/''${unit#*:}
      sed -e "s|%h/.local/bin/srvd|$out/bin/srvd|g" -e "s|/usr/local/bin/srvd|$out/bin/srvd|g" \
        config/systemd/''${unit%:*} > $out/lib/systemd/''${unit#*:}/''${unit%:*}
    done
  '';
  meta = {
    description = "The identity daemon for AI coding agents";
    license = lib.licenses.asl20;
    mainProgram = "srvd";
    platforms = lib.platforms.unix;
  };
}
