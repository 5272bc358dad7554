defmodule AlcoveTest do
  use ExUnit.Case, async: true

  import Alcove.Test, only: [await: 1, running?: 1]

  doctest Alcove

  setup_all do
    {:ok, drv} = :alcove_drv.start_link()
    {:ok, drv: drv}
  end

  describe "run" do
    test "takes what to run in three ways", %{drv: drv} do
      assert {:ok, %Alcove.Result{status: 0, stdout: "a b\n"}} = Alcove.run(["echo", "a", "b"])
      assert {:ok, %{stdout: "a b\n"}} = Alcove.run("echo", ["a", "b"])
      assert {:ok, %{stdout: "a b\n"}} = Alcove.run(drv, ["echo", "a", "b"])
      assert {:ok, %{stdout: "x"}} = Alcove.run(["cat"], stdin: "x", drv: drv)
      assert {:ok, %{stdout: "x"}} = Alcove.run(["cat"], %{stdin: "x"})
      assert {:ok, %{stdout: "x"}} = Alcove.run("cat", [], stdin: "x")
      assert {:ok, %{stdout: "x"}} = Alcove.run(drv, ["cat"], stdin: "x")
      assert {:ok, %{stdout: ""}} = Alcove.run("cat")
      assert {:ok, %{stdout: "é"}} = Alcove.run([~c"printf", ~c"%s", ~c"é"])
    end

    test "says all that is known of the end", %{drv: drv} do
      {:ok, result} = Alcove.run(drv, ["sh", "-c", "kill -9 $$"])
      assert result.status == {:termsig, :sigkill}
      assert result.truncated == []

      for figure <- [result.wall_time, result.user_time, result.peak_memory, result.os_pid] do
        assert is_integer(figure)
      end

      # Nothing of what :alcove_proc says is missing.
      {:ok, all} = :alcove_proc.run(drv, ["true"])
      {:ok, result} = Alcove.run(drv, ["true"])
      assert Map.keys(all) -- (Map.keys(Map.from_struct(result)) ++ Map.keys(result.more)) == []
      cut = [stdout: {:collect, 2, :truncate}]
      assert {:ok, %{truncated: [:stdout], stdout: "1\n"}} = Alcove.run(drv, ["seq", "9"], cut)
    end

    test "has results in errors too", %{drv: drv} do
      assert {:error, {{:output_limit, :stdout}, %Alcove.Result{stdout: "y\ny\ny\n"}}} =
               Alcove.run(drv, ["yes"], stdout: {:collect, 6})
    end

    test "raises for wrong arguments, and doesn't show secrets", %{drv: drv} do
      assert_raise ArgumentError, ~r/sh.*-c/, fn -> Alcove.run(drv, "ls -l") end
      assert_raise ArgumentError, ~r/timeout: -1/, fn -> Alcove.run(["ls"], timeout: -1) end
      assert_raise ArgumentError, ~r/nonsense: 1/, fn -> Alcove.run(["ls"], nonsense: 1) end
      assert_raise ArgumentError, ~r/keywords/, fn -> Alcove.run(["ls"], ["-l"]) end
      assert_raise ArgumentError, ~r/not a Drv/, fn -> Alcove.run(NoSuchName, ["ls"]) end
      assert_raise ArgumentError, ~r/list/, fn -> Alcove.run(["ls"], ["-l"], []) end
      assert_raise ArgumentError, ~r/NUL/, fn -> Alcove.run(["a\0b"]) end

      error = assert_raise ArgumentError, fn -> Alcove.run(["ls"], env: %{"A=" => "secret"}) end
      refute Exception.message(error) =~ "secret"
    end

    test "run! raises what the program complained of, and not its arguments", %{drv: drv} do
      error =
        assert_raise Alcove.Error, fn ->
          Alcove.run!(drv, ["sh", "-c", "echo out; echo oops >&2; exit 3", "secret"])
        end

      assert error.reason == {:exit_status, 3}
      assert error.result.stdout == "out\n"
      assert Exception.message(error) == "sh ended with the status 3:\noops"
      refute inspect(error) =~ "secret"

      error = assert_raise Alcove.Error, fn -> Alcove.run!(["no-such-program"]) end
      assert %{reason: {:execvp, :enoent}, result: nil} = error
      assert Exception.message(error) =~ "no-such-program has not run: "

      error = assert_raise Alcove.Error, fn -> Alcove.run!(["sleep", "1000"], timeout: 2000) end
      assert %{reason: :timeout, result: %{status: {:termsig, :sigterm}}} = error
      assert Alcove.run!("echo", ["x"], []).stdout == "x\n"
    end

    test "ends with its caller", %{drv: drv} do
      task = Task.async(fn -> Alcove.run(drv, ["sleep", "4711"]) end)
      assert nil == Task.yield(task, 100)
      await(fn -> running?("sleep 4711") end)
      Task.shutdown(task, :brutal_kill)
      await(fn -> not running?("sleep 4711") end)
    end
  end

  describe "pipe!" do
    test "has the result of the last program, whatever the others do", %{drv: drv} do
      result = Alcove.pipe!(drv, [["sh", "-c", "echo b; exit 3"], {["cat"], env: %{"A" => "b"}}])
      assert {"b\n", [3, 0]} == {result.stdout, result.statuses}
      assert Alcove.pipe!([["cat"], ["tr", "a", "c"]], stdin: "ab\n", drv: drv).stdout == "cb\n"
      assert Alcove.pipe!(drv, [["true"], ["true"]]).status == 0
    end

    test "raises with the names of the programs alone", %{drv: drv} do
      pipe! = fn programs, options ->
        assert_raise Alcove.Error, fn -> Alcove.pipe!(drv, programs, options) end
      end

      error = pipe!.([["true", "secret"], {["sh", "-c", "echo oops >&2; exit 4"], nice: 1}], [])
      assert {error.reason, error.result.statuses} == {{:exit_status, 4}, [0, 4]}
      assert Exception.message(error) == "true | sh ended with the status 4:\noops"

      error = pipe!.([["cat"], ["no-such-program", "secret"]], [])
      assert error.reason == {:program, 2, {:execvp, :enoent}}
      refute Exception.message(error) =~ "secret"

      error = pipe!.([["sleep", "1000"], ["cat"]], timeout: 100)
      assert {error.reason, length(error.result.statuses)} == {:timeout, 2}

      for wrong <- [[], ["ls"], [["ls"], []], [{["ls"], [], 1}], [["ls"], 1]] do
        assert_raise ArgumentError, fn -> Alcove.pipe!(drv, wrong) end
      end
    end
  end

  describe "cmd" do
    # What both are to return.
    for {name, args, options} <- [
          {"echo", ["hi"], []},
          {"sh", ["-c", "exit 3"], []},
          {"sh", ["-c", "kill -9 $$"], []},
          {"sh", ["-c", "echo out; echo err >&2"], [stderr_to_stdout: true]},
          {"sh", ["-c", "echo $A-$B"], [env: [{"A", "1"}, {"B", nil}]]},
          {"pwd", [], [cd: "/usr"]},
          {"pwd", [], [cd: "/usr", into: []]},
          {"sh", ["-c", "echo $0"], [arg0: "other"]},
          {"echo", ["hi"], [parallelism: true]},
          {"printf", ["\\377\\n"], []}
        ] do
      test "is System.cmd: #{name} #{inspect(args)} #{inspect(options)}" do
        call = [unquote(name), unquote(args), unquote(Macro.escape(options))]
        assert apply(Alcove, :cmd, call) == apply(System, :cmd, call)
      end
    end

    test "raises as System.cmd does" do
      for call <- [
            ["no-such-program", []],
            ["/no/such/program", []],
            ["echo", [], [nonsense: true]]
          ] do
        raised = fn module ->
          try do
            apply(module, :cmd, call)
          rescue
            error -> error.__struct__
          end
        end

        assert {call, raised.(Alcove)} == {call, raised.(System)}
      end

      assert_raise ArgumentError, fn -> Alcove.cmd("echo", ["a\0b"]) end
      # A port says nothing, or writes it to stderr.
      assert_raise ErlangError, ~r/enoent/, fn -> Alcove.cmd("pwd", [], cd: "/nowhere") end

      assert %ErlangError{original: :enoent} =
               assert_raise(ErlangError, fn -> Alcove.cmd("no-such-program", []) end)
    end

    test "gives lines, the last one too" do
      assert {["a", "", "b"], 0} = Alcove.cmd("printf", ["a\\n\\nb"], into: [], lines: 1)
      assert {lines, 0} = Alcove.cmd("seq", ["100000"], into: [], lines: 1024)
      assert lines == Enum.map(1..100_000, &"#{&1}")
    end

    test "collects as it comes" do
      path = Path.join(System.tmp_dir!(), "alcove-cmd-#{System.pid()}")
      assert {%File.Stream{}, 0} = Alcove.cmd("seq", ["3"], into: File.stream!(path))
      assert File.read!(path) == "1\n2\n3\n"
      File.rm!(path)
    end

    test "ends the program when what collects fails" do
      assert catch_error(Alcove.cmd("yes", ["4712"], into: %{}))
      await(fn -> not running?("yes 4712") end)
      refute_received _
    end

    test "keeps a large output whole" do
      {output, 0} = Alcove.cmd("head", ["-c", "20000000", "/dev/zero"])
      assert byte_size(output) == 20_000_000
    end
  end
end
