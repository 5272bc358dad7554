defmodule AlcoveSandboxTest do
  use ExUnit.Case, async: true

  alias Alcove.{Result, Sandbox}

  @moduletag Alcove.Test.needs_sandbox()

  test "runs a program that sees nothing else" do
    script = "id -u; ls /home /root /etc/shadow 2>/dev/null; ls /proc | grep -c '^[0-9]'"
    assert {:ok, %Result{status: 0, stdout: out} = result} = Sandbox.run("sh", ["-c", script], [])
    assert ["1000", processes] = String.split(out)
    assert String.to_integer(processes) <= 5
    assert %{seccomp: :default} = result.more.sandbox
    assert result.limit == nil
  end

  test "takes what to run, and how, in all forms" do
    {:ok, drv} = :alcove_drv.start_link()
    assert {:ok, %{stdout: "x"}} = Sandbox.run(["cat"], stdin: "x")
    assert {:ok, %{stdout: "x"}} = Sandbox.run(["cat"], %{stdin: "x", drv: drv})
    assert {:ok, %{stdout: "x"}} = Sandbox.run(drv, ["cat"], stdin: "x")
    assert {:ok, %{stdout: "a\n"}} = Sandbox.run("echo", ["a"])

    assert {:ok, %{stdout: "a\nb\n", limit: nil}} =
             Sandbox.run(["sort"], stdin: "b\na\n", limits: [memory: 64_000_000])

    assert %{stdout: "a\n"} = Sandbox.run!("echo", ["a"])
    assert %{stdout: "a\n"} = Sandbox.run!(drv, ["echo", "a"], limits: %{pids: 10})
    :alcove_drv.stop(drv)
  end

  test "says which limit ended a program" do
    assert {:ok, %{limit: :cpu_time}} =
             Sandbox.run(["sh", "-c", "while :; do :; done"], limits: [cpu_time: 1])

    assert {:error, {:timeout, %Result{limit: :wall_time}}} =
             Sandbox.run(["sleep", "1000"], limits: [wall_time: 5000])
  end

  test "takes OCI bundles" do
    config = %{
      "ociVersion" => "1.0.2",
      "process" => %{
        "args" => ["cat", "/proc/sys/kernel/hostname"],
        "cwd" => "/",
        "env" => ["PATH=/bin"]
      },
      "root" => %{"path" => "/usr", "readonly" => true},
      "hostname" => "bundle",
      "hooks" => %{"prestart" => [%{"path" => "/x"}]}
    }

    assert {:error, {:oci, [{"hooks.prestart", {:unsupported, _}}]}} =
             Sandbox.from_oci({"/srv", config})

    assert {:ok, %{argv: ["cat" | _] = argv, spec: spec}} =
             Sandbox.from_oci({"/srv", config}, ignore: ["hooks"])

    mounts = [:system, :proc]

    assert {:ok, %{status: 0, stdout: "bundle\n"}} =
             Sandbox.run(argv, %{spec | root: :tmpfs, mounts: mounts})

    assert_raise ArgumentError, fn -> Sandbox.from_oci({"/srv", config}, ignore: :some) end
  end

  test "fails with a reason" do
    assert {:error, {:execvp, :enoent}} = Sandbox.run(["no-such-program"])

    assert {:error, {:sandbox, {"/nowhere", :enoent}}} =
             Sandbox.run(["true"], mounts: [{:ro, "/nowhere"}])

    assert_raise Alcove.Error, fn -> Sandbox.run!(["false"]) end
    assert_raise ArgumentError, ~r/network/, fn -> Sandbox.run(["true"], network: :some) end

    # Not there, or not allowed to an ordinary user.
    for network <- [
          [bridge: "alcove-none", address: "10.0.0.2/24"],
          %{bridge: "alcove-none", address: ["10.0.0.2/24"]}
        ] do
      assert {:error, {:sandbox, {:network, {{:bridge, "alcove-none"}, reason}}}} =
               Sandbox.run(["true"], network: network)

      assert reason in [:enodev, :eperm]
    end

    assert_raise ArgumentError, ~r/limits/, fn -> Sandbox.run(["true"], limits: [memory: -1]) end
    assert_raise ArgumentError, fn -> Sandbox.run("true", :options) end

    # What is in a file may be a secret.
    error =
      assert_raise ArgumentError, fn ->
        Sandbox.run(["true"], mounts: [{:file, "/a", [:secret]}])
      end

    refute error.message =~ "secret"
  end

  test "is started, supervised and explained" do
    assert {:ok, pid} = Sandbox.start_link(["cat"])
    :ok = :alcove_proc.write(pid, "x")
    assert_receive {:alcove_proc, ^pid, {:stdout, "x"}}
    :ok = :alcove_proc.eof(pid)
    assert {:ok, %{status: 0}} = :alcove_proc.await(pid)

    child = {Sandbox, {["sleep", "1000"], limits: [wall_time: :infinity]}}
    {:ok, supervisor} = Supervisor.start_link([child], strategy: :one_for_one)
    assert [{Sandbox, program, :worker, _}] = Supervisor.which_children(supervisor)
    assert %{state: :running} = :alcove_proc.info(program)
    :ok = Supervisor.stop(supervisor)

    assert {:ok, %{in_force: %{seccomp: :none}, calls: [_ | _]}} = Sandbox.explain(seccomp: :none)
  end
end
