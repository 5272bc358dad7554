# What the Erlang modules are from Elixir.
defmodule Alcove.ErlangTest do
  use ExUnit.Case, async: true

  doctest Alcove.Test.Page

  setup do
    {:ok, drv} = :alcove_drv.start_link()
    on_exit(fn -> :alcove_drv.stop(drv) end)
    {:ok, drv: drv}
  end

  test "strings and charlists, maps and keywords", %{drv: drv} do
    for text <- ["hé", ~c"hé", ["h", ?é]] do
      assert {:ok, %{status: 0, stdout: "hé"}} = :alcove_proc.run(drv, ["printf", "%s", text])
    end

    for options <- [%{cwd: "/usr"}, [cwd: "/usr"], %{cwd: ~c"/usr"}] do
      assert {:ok, %{stdout: "/usr\n"}} = :alcove_proc.run(drv, ["pwd"], options)
    end

    for env <- [%{"A" => "1"}, %{A: "1"}, [{"A", "1"}], [A: ~c"1"]] do
      assert {:ok, %{stdout: "A=1\n"}} =
               :alcove_proc.run(drv, ["env"], env: env, clearenv: true, env: env)
    end

    assert {:ok, %{stdout: ""}} =
             :alcove_proc.run(drv, ["/usr/bin/env"], clearenv: true, env: %{"PATH" => nil})
  end

  test "options of a Drv" do
    for options <- [
          %{exit_status: true, env: %{"A" => "1"}},
          [exit_status: true, env: [{~c"A", ~c"1"}]]
        ] do
      {:ok, drv} = :alcove_drv.start_link(options)
      assert "1" = :alcove.getenv(drv, "A")
      {:ok, child} = :alcove.fork(drv)
      :ok = :alcove.exit(drv, [child], 3)
      assert {:exit_status, 3} = :alcove.event(drv, [child])
      :ok = :alcove_drv.stop(drv)
    end
  end

  test "the primitives", %{drv: drv} do
    {:ok, child} = :alcove.fork(drv)
    assert :ok = :alcove.chdir(drv, [child], "/usr")
    assert {:ok, "/usr"} = :alcove.getcwd(drv, [child])
    assert {:error, :enoent} = :alcove.chdir(drv, [child], "/nowhere")
    assert_raise ErlangError, fn -> :alcove.getpid(drv, [child, 1]) end
    assert_raise ArgumentError, fn -> :alcove.chdir(drv, [child], :nothing) end
  end

  test "under a supervisor" do
    children = [
      {:alcove_drv, %{name: __MODULE__.Drv, owner: self()}},
      {:alcove_proc, {__MODULE__.Drv, ["echo", "hi"], owner: self()}}
    ]

    {:ok, sup} = Supervisor.start_link(children, strategy: :one_for_one)
    assert_receive {:alcove_proc, _, {:stdout, "hi\n"}}
    assert_receive {:alcove_proc, _, {:exit, {:ok, %{status: 0}}}}
    assert {:error, {:already_started, _}} = :alcove_drv.start(name: __MODULE__.Drv)
    :ok = Supervisor.stop(sup)
    assert Process.whereis(__MODULE__.Drv) == nil
  end

  test "a GenServer that gets lines", %{drv: drv} do
    Process.flag(:trap_exit, true)
    {:ok, pid} = Alcove.Test.Lines.start_link(drv, self())
    assert_receive {:line, "1"}
    assert_receive {:line, "2"}
    assert_receive {:EXIT, ^pid, :normal}
  end

  test "all of it ends with a task", %{drv: drv} do
    task = Task.async(fn -> :alcove_proc.run(drv, ["sleep", "1000"]) end)
    assert Task.yield(task, 200) == nil
    Task.shutdown(task, :brutal_kill)
    Alcove.Test.await(fn -> match?(%{children: []}, :alcove.tree(drv)) end)
  end
end
