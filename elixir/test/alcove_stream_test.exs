defmodule Alcove.StreamTest do
  use ExUnit.Case, async: true

  import Alcove.Test, only: [await: 1, running?: 1]

  setup do
    {:ok, drv} = :alcove_drv.start_link()
    on_exit(fn -> :alcove_drv.stop(drv) end)
    {:ok, drv: drv}
  end

  test "is read, each time anew", %{drv: drv} do
    stream = Alcove.stream!(drv, ["seq", "3"], [])
    assert Enum.join(stream) == "1\n2\n3\n"
    assert Enum.join(stream) == "1\n2\n3\n"
    assert Enum.join(Alcove.stream!("seq", ["3"])) == "1\n2\n3\n"
    assert Enum.join(Alcove.stream!(["cat"], stdin: "text")) == "text"
    assert Enum.join(Alcove.stream!(["cat"], stdin: ["te", ?x, ~c"t"])) == "text"
    refute_received _
  end

  test "ends the program when who reads has enough", %{drv: drv} do
    assert ["y" | _] = drv |> Alcove.stream!(["yes"], lines: true) |> Enum.take(1)
    await(fn -> not running?("yes") end)
    # Nothing comes later.
    refute_received _
    assert [] = drv |> Alcove.stream!(["sleep", "4713"], []) |> Enum.take(0)
    refute running?("sleep 4713")

    # One that won't end when it is asked to.
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
    assert ["up"] = drv |> Alcove.stream!(stubborn, lines: true) |> Enum.take(1)
  end

  test "ends the program when who reads fails, or is killed", %{drv: drv} do
    assert_raise RuntimeError, "enough", fn ->
      drv |> Alcove.stream!(["yes", "4714"], []) |> Enum.each(fn _ -> raise "enough" end)
    end

    refute running?("yes 4714")
    test = self()

    task =
      Task.async(fn ->
        drv |> Alcove.stream!(["yes", "4715"], []) |> Enum.each(fn _ -> send(test, :read) end)
      end)

    assert_receive :read
    Task.shutdown(task, :brutal_kill)
    await(fn -> not running?("yes 4715") end)
  end

  test "holds the program back while nobody reads", %{drv: drv} do
    count = Path.join(System.tmp_dir!(), "alcove-held-#{System.pid()}")
    # Writes a megabyte a time, and how often it has.
    script = ~S[n=0; while :; do head -c 1000000 /dev/zero; n=$((n + 1)); echo $n >"$0"; done]
    memory = :erlang.memory(:binary)

    [{written, used}] =
      drv
      |> Alcove.stream!(["sh", "-c", script, count], [])
      |> Stream.map(fn _ ->
        await(fn -> not writes?(count) end)
        {written(count), :erlang.memory(:binary) - memory}
      end)
      |> Enum.take(1)

    File.rm(count)
    # It has no more on its way than the pipe and some messages hold.
    assert written < 20
    assert used < 50_000_000
  end

  defp writes?(count) do
    before = written(count)
    Process.sleep(300)
    written(count) != before
  end

  defp written(count) do
    case File.read(count) do
      {:ok, <<_, _::binary>> = text} -> text |> String.trim() |> String.to_integer()
      _ -> 0
    end
  end

  test "can be suspended and zipped", %{drv: drv} do
    one = Alcove.stream!(drv, ["seq", "5"], lines: true)
    two = Alcove.stream!(drv, ["yes"], lines: true)
    assert Enum.zip(one, two) |> Enum.map(&elem(&1, 0)) == ~w(1 2 3 4 5)
    refute_received _
  end

  test "gives lines", %{drv: drv} do
    lines = fn text, lines ->
      drv |> Alcove.stream!(["cat"], stdin: text, lines: lines) |> Enum.to_list()
    end

    assert lines.("a\n\nb", true) == ["a", "", "b"]
    assert lines.("a\nb\n", true) == ["a", "b"]
    assert lines.("", true) == []
    assert lines.("\n", true) == [""]
    assert lines.("abcdefg\nh", 3) == ["abc", "def", "g", "h"]
    assert lines.("abcdef\nh", 3) == ["abc", "def", "h"]

    all = Enum.map(1..50_000, &"#{&1}")
    assert drv |> Alcove.stream!(["seq", "50000"], lines: true) |> Enum.to_list() == all
  end

  test "feeds the program from an enumerable, no further than it reads", %{drv: drv} do
    test = self()

    input =
      Stream.iterate(1, &(&1 + 1))
      |> Stream.each(&send(test, {:asked, &1}))
      |> Stream.map(fn _ -> String.duplicate("x", 100_000) end)

    assert "xxx" = drv |> Alcove.stream!(["head", "-c", "3"], stdin: input) |> Enum.join()
    assert_received {:asked, 1}
    refute_received {:asked, 100}

    # One program feeds another.
    numbers = Alcove.stream!(drv, ["seq", "100000"], [])

    assert ["99999"] =
             drv
             |> Alcove.stream!(["grep", "99999"], stdin: numbers, lines: true)
             |> Enum.to_list()

    big = Stream.repeatedly(fn -> :binary.copy("y", 65_536) end) |> Stream.take(300)
    sizes = drv |> Alcove.stream!(["cat"], stdin: big) |> Stream.map(&byte_size/1)
    assert Enum.sum(sizes) == 300 * 65_536
  end

  test "an enumerable that waits for ever holds nobody", %{drv: drv} do
    never = Stream.repeatedly(fn -> Process.sleep(:infinity) end)
    before = length(Process.list())
    assert "hi\n" = drv |> Alcove.stream!(["echo", "hi"], stdin: never) |> Enum.join()
    assert [_] = drv |> Alcove.stream!(["yes"], stdin: never) |> Enum.take(1)

    task = Task.async(fn -> drv |> Alcove.stream!(["cat"], stdin: never) |> Enum.join() end)
    assert nil == Task.yield(task, 100)
    Task.shutdown(task, :brutal_kill)
    await(fn -> length(Process.list()) <= before end)
  end

  test "an enumerable that fails fails for who reads", %{drv: drv} do
    failing = Stream.map(1..3, fn n -> if n == 2, do: raise("no input"), else: "#{n}\n" end)

    assert_raise RuntimeError, "no input", fn ->
      drv |> Alcove.stream!(["cat"], stdin: failing) |> Enum.to_list()
    end

    assert_raise ArgumentError, fn ->
      drv |> Alcove.stream!(["cat"], stdin: Stream.map([:nonsense], & &1)) |> Enum.to_list()
    end

    refute_received _
  end

  test "a status is an exception, after all that was written", %{drv: drv} do
    test = self()
    failing = ["sh", "-c", "echo out; echo err >&2; exit 3"]

    error =
      assert_raise Alcove.Error, fn ->
        drv |> Alcove.stream!(failing, []) |> Enum.each(&send(test, &1))
      end

    assert_received "out\n"
    assert %{reason: {:exit_status, 3}, result: %{stderr: "err\n"}} = error

    assert_raise Alcove.Error, ~r/no-such-program has not run/, fn ->
      drv |> Alcove.stream!(["no-such-program"], []) |> Enum.to_list()
    end

    assert_raise Alcove.Error, ~r/took too long/, fn ->
      drv |> Alcove.stream!(["sleep", "1000"], timeout: 2000) |> Enum.to_list()
    end

    refute_received _
  end

  test "or a status is an element", %{drv: drv} do
    all = fn argv, options ->
      drv |> Alcove.stream!(argv, [exit: :element] ++ options) |> Enum.to_list()
    end

    assert all.(["true"], []) == [{:exit, 0}]
    assert all.(["sh", "-c", "echo a; exit 3"], lines: true) == ["a", {:exit, 3}]
    assert all.(["sh", "-c", "kill -9 $$"], []) == [{:exit, {:termsig, :sigkill}}]
    assert all.(["sleep", "1000"], timeout: 2000) == [{:exit, {:error, :timeout}}]
  end

  test "both streams, told apart or together", %{drv: drv} do
    argv = ["sh", "-c", "echo out; echo err >&2"]
    both = drv |> Alcove.stream!(argv, stderr: :stream, lines: true) |> Enum.sort()
    assert both == [{:stderr, "err"}, {:stdout, "out"}]
    assert "out\nerr\n" = drv |> Alcove.stream!(argv, stderr: :stdout) |> Enum.join()
  end

  test "is collected into", %{drv: drv} do
    path = Path.join(System.tmp_dir!(), "alcove-into-#{System.pid()}")
    stream = Alcove.stream!(drv, ["sort"], stdout: {:file, path})
    assert ^stream = Enum.into(["b\n", "a\n"], stream)
    assert File.read!(path) == "a\nb\n"
    File.rm!(path)

    # A program that has enough is no failure, one that fails is.
    Enum.into(Stream.map(1..10_000, &"#{&1}\n"), Alcove.stream!(drv, ["head", "-n", "1"], []))

    assert_raise Alcove.Error, fn ->
      Enum.into(["x"], Alcove.stream!(drv, ["sh", "-c", "cat; exit 1"], []))
    end

    assert_raise RuntimeError, "no more", fn ->
      failing = Stream.map([1], fn _ -> raise "no more" end)
      Enum.into(failing, Alcove.stream!(drv, ["sh", "-c", "cat; sleep 4716"], []))
    end

    refute running?("sleep 4716")
    refute_received _
  end

  test "wrong options are refused before anything runs", %{drv: drv} do
    for options <- [[lines: 0], [exit: :later], [owner: self()], [active: true], [stdin: %URI{}]] do
      assert_raise ArgumentError, fn -> Alcove.stream!(drv, ["true"], options) end
    end
  end
end
