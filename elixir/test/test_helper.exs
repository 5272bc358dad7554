{:ok, _} = Application.ensure_all_started(:logger)
ExUnit.start()

defmodule Alcove.Test do
  @moduledoc false
  # What more than one test needs.

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
  def await(fun, n \\ 1000) do
    cond do
      fun.() -> :ok
      n == 0 -> raise "it doesn't come true"
      true -> Process.sleep(10) && await(fun, n - 1)
    end
  end
end
