defmodule Alcove.Test do
  @moduledoc false
  # What more than one test needs.

  @doc """
  How long something may take on this machine, of what it may on a fast one, in milliseconds:
  `ALCOVE_TEST_SLOW=20` in the environment is a machine that is twenty times slower.
  """
  def ms(ms) do
    case System.get_env("ALCOVE_TEST_SLOW", "") do
      "" -> ms
      factor -> ms * String.to_integer(factor)
    end
  end

  @doc """
  Whether a process with this command line is there.
  """
  def running?(words) do
    Enum.any?(Path.wildcard("/proc/[0-9]*/cmdline"), fn path ->
      case File.read(path) do
        {:ok, line} -> line |> String.replace("\0", " ") |> String.trim() == words
        {:error, _} -> false
      end
    end)
  end

  @doc """
  A tag that skips what takes a sandbox, where there can be none.
  """
  def needs_sandbox do
    {:ok, _} = Application.ensure_all_started(:alcove)

    case Alcove.Sandbox.explain() do
      {:ok, _} -> []
      {:error, reason} -> [skip: "no sandbox here: #{inspect(reason)}"]
    end
  end

  @doc """
  Waits until it is true.
  """
  def await(fun, left \\ ms(10_000)) do
    cond do
      fun.() -> :ok
      left <= 0 -> raise "it doesn't come true"
      true -> Process.sleep(10) && await(fun, left - 10)
    end
  end
end

{:ok, _} = Application.ensure_all_started(:logger)
# How long `assert_receive` waits, and how long a test may take.
ExUnit.start(assert_receive_timeout: Alcove.Test.ms(10_000), timeout: Alcove.Test.ms(60_000))
