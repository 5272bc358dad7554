defmodule Alcove.DaemonTest do
  use ExUnit.Case, async: true

  import Alcove.Test, only: [await: 1, running?: 1]
  import ExUnit.CaptureLog

  alias Alcove.Daemon

  setup do
    {:ok, drv} = :alcove_drv.start_link()
    on_exit(fn -> :alcove_drv.stop(drv) end)

    directory =
      Path.join(System.tmp_dir!(), "alcove-daemon-#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)
    on_exit(fn -> File.rm_rf!(directory) end)
    {:ok, drv: drv, directory: directory}
  end

  @tag :capture_log
  test "runs under a supervisor, by its name, and ends with it", %{drv: drv} do
    child = {Daemon, argv: ["sleep", "4720"], drv: drv, name: __MODULE__.Named}
    {:ok, supervisor} = Supervisor.start_link([child], strategy: :one_for_one)
    assert %{phase: :ready, restarts: 0, last: nil} = Daemon.info(__MODULE__.Named)
    assert running?("sleep 4720")

    # One that is killed is started again.
    first = Daemon.os_pid(__MODULE__.Named)
    :ok = :alcove_proc.signal(Daemon.program(__MODULE__.Named), :sigkill)

    await(fn ->
      pid = Process.whereis(__MODULE__.Named)
      pid && restarted?(pid, first)
    end)

    :ok = Supervisor.stop(supervisor)
    refute running?("sleep 4720")
  end

  test "shows nobody its arguments and variables", %{drv: drv} do
    options = [
      argv: ["sh", "-c", "exit 3", "--password=hunter2"],
      env: %{"SECRET" => "hunter2"},
      drv: drv
    ]

    for child <- [
          Daemon.child_spec(options),
          Alcove.Sandbox.child_spec({options[:argv], options})
        ] do
      refute inspect(child, limit: :infinity) =~ "hunter2"
    end

    for bad <- [["secret hunter2" | options], %{argv: options[:argv]}] do
      error = assert_raise ArgumentError, fn -> Daemon.start_link(bad) end
      refute Exception.message(error) =~ "hunter2"
    end
  end

  test "ends with its daemon, however that ends", %{drv: drv} do
    Process.flag(:trap_exit, true)
    {:ok, pid} = Daemon.start_link(argv: ["sleep", "4721"], drv: drv)
    Process.exit(pid, :kill)
    await(fn -> not running?("sleep 4721") end)
    {:ok, pid} = Daemon.start_link(argv: ["sleep", "4722"], drv: drv)
    :ok = Daemon.stop(pid)
    refute running?("sleep 4722")
  end

  @tag :capture_log
  test "says how the program has ended", %{drv: drv} do
    Process.flag(:trap_exit, true)
    {:ok, pid} = Daemon.start_link(argv: ["sh", "-c", "sleep 0.1; exit 3"], drv: drv)
    assert_receive {:EXIT, ^pid, {:exit_status, 3}}
    {:ok, pid} = Daemon.start_link(argv: ["sh", "-c", "sleep 0.1"], drv: drv)
    assert_receive {:EXIT, ^pid, :normal}

    assert {:error, {:execvp, :enoent}} = Daemon.start_link(argv: ["no-such"], drv: drv)
    assert_raise ArgumentError, fn -> Daemon.start_link(argv: "ls") end
    assert_raise ArgumentError, fn -> Daemon.start_link(argv: ["ls"], ready: :soon) end
    assert_raise ArgumentError, fn -> Daemon.start_link(argv: ["ls"], backoff: {0, 1}) end
    assert_raise ArgumentError, fn -> Daemon.start_link(argv: ["ls"], nonsense: 1, drv: drv) end
  end

  test "logs what the program writes, line by line", %{drv: drv} do
    Process.flag(:trap_exit, true)
    script = "printf 'one\\ntwo\\n'; echo three >&2; printf '\\377\\n'; printf last"

    log =
      capture_log(fn ->
        options = [argv: ["sh", "-c", script], drv: drv, log_output: :error, log_prefix: "it: "]
        {:ok, pid} = Daemon.start_link(options)
        assert_receive {:EXIT, ^pid, :normal}
      end)

    for line <- ["it: one", "it: two", "it: three", "it: ÿ", "it: last"], do: assert(log =~ line)
    refute log =~ "onetwo"
  end

  test "is started when it is ready", %{drv: drv, directory: directory} do
    path = Path.join(directory, "up")
    start = fn argv, ready -> Daemon.start_link([argv: argv, drv: drv] ++ ready) end

    {:ok, pid} = start.(["sh", "-c", "sleep 0.2; : >#{path}; sleep 1000"], ready: {:file, path})
    assert File.exists?(path)
    :ok = Daemon.stop(pid)

    {:ok, pid} = start.(["sh", "-c", "echo up; sleep 1000"], ready: {:output, ~r/^up$/})
    :ok = Daemon.stop(pid)
    {:ok, pid} = start.(["sh", "-c", "echo up >&2; sleep 1000"], ready: {:output, "up"})
    :ok = Daemon.stop(pid)
    {:ok, pid} = start.(["sleep", "1000"], ready: fn -> true end)
    :ok = Daemon.stop(pid)

    socket = Path.join(directory, "socket")
    {:ok, listening} = :gen_tcp.listen(0, ifaddr: {:local, socket})
    {:ok, pid} = start.(["sleep", "1000"], ready: {:unix, socket})
    :ok = Daemon.stop(pid)
    :gen_tcp.close(listening)

    {:ok, listening} = :gen_tcp.listen(0, [])
    {:ok, port} = :inet.port(listening)
    {:ok, pid} = start.(["sleep", "1000"], ready: {:tcp, port})
    :ok = Daemon.stop(pid)
    :gen_tcp.close(listening)
  end

  test "isn't started when it isn't ready in time, or ends before", %{drv: drv} do
    Process.flag(:trap_exit, true)
    never = [ready: fn -> false end, ready_timeout: 100, drv: drv]
    assert {:error, {:not_ready, 100}} = Daemon.start_link([argv: ["sleep", "4723"]] ++ never)
    refute running?("sleep 4723")

    assert {:error, {:exit_status, 7}} =
             Daemon.start_link(argv: ["sh", "-c", "exit 7"], ready: {:output, "up"}, drv: drv)
  end

  test "starts a program again after a pause, which grows", %{drv: drv, directory: directory} do
    path = Path.join(directory, "starts")
    script = ~S(date +%s%N >>"$0"; exit 1)

    {:ok, pid} =
      Daemon.start_link(argv: ["sh", "-c", script, path], drv: drv, backoff: {50, 10_000})

    await(fn -> Daemon.info(pid).restarts >= 4 end)
    assert %{phase: phase, last: {:ok, %Alcove.Result{status: 1}}} = Daemon.info(pid)
    assert phase in [:waiting, :ready]
    :ok = Daemon.stop(pid)

    times = path |> File.read!() |> String.split() |> Enum.map(&String.to_integer/1)
    pauses = Enum.zip_with(tl(times), times, &div(&1 - &2, 1_000_000))

    for {pause, least} <- Enum.zip(pauses, [50, 100, 200, 400]), do: assert(pause >= least)
  end

  defp restarted?(pid, first) do
    Daemon.os_pid(pid) not in [nil, first]
  catch
    # The one before.
    :exit, _ -> false
  end
end
