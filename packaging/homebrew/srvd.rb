class Srvd < Formula
  desc "Identity daemon for AI coding agents"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "@URL@/srvd-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256_aarch64-apple-darwin@"
    end
    on_intel do
      url "@URL@/srvd-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256_x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "@URL@/srvd-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256_aarch64-unknown-linux-musl@"
    end
    on_intel do
      url "@URL@/srvd-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256_x86_64-unknown-linux-musl@"
    end
  end

  def install
    bin.install "srvd"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/srvd.bash" => "srvd"
    zsh_completion.install "completions/_srvd"
    fish_completion.install "completions/srvd.fish"
  end

  service do
    run [opt_bin/"srvd"]
    keep_alive successful_exit: false, crashed: true
    log_path var/"log/srvd.log"
    error_log_path var/"log/srvd.log"
  end

  def caveats
    <<~EOS
      Create the encryption key once, then start the daemon:
        srvd key generate
        brew services start srvd
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/srvd --version")
    ENV["SRVD_CONFIG_DIR"] = testpath/"config"
    system bin/"srvd", "key", "generate", "--output", testpath/"key"
    assert_predicate testpath/"key", :exist?
  end
end
