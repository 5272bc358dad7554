defmodule Alcove.Feeder do
  @moduledoc false
  # Writes what an enumerable yields to a program, in a process of its own: the enumerable may
  # block as long as it likes, and the program's output is read meanwhile.

  @doc """
  Starts to feed the program. It ends with the caller.
  """
  @spec start(pid, Enumerable.t()) :: pid
  def start(program, input) do
    reader = self()

    spawn(fn ->
      guard(self(), [reader, program])
      feed(program, input, reader)
    end)
  end

  # Kills the feeder when the reader or the program ends, since the enumerable may block for ever.
  defp guard(feeder, others) do
    spawn(fn ->
      for pid <- [feeder | others], do: Process.monitor(pid)

      receive do
        {:DOWN, _, :process, _, _} -> Process.exit(feeder, :kill)
      end
    end)
  end

  defp feed(program, input, reader) do
    Enum.reduce_while(input, :ok, fn data, :ok ->
      case :alcove_proc.write(program, data) do
        :ok -> {:cont, :ok}
        # The program needs no more input.
        {:error, _} -> {:halt, :ok}
      end
    end)

    _ = :alcove_proc.eof(program)
  catch
    kind, reason ->
      send(reader, {__MODULE__, self(), {kind, reason, __STACKTRACE__}})
      _ = :alcove_proc.stop(program, 0)
  end

  @doc """
  Ends it.
  """
  @spec stop(pid) :: :ok
  def stop(feeder) do
    _ = ended(feeder)
    :ok
  end

  @doc """
  Ends it, and raises what the enumerable has raised.
  """
  @spec stop!(pid) :: :ok
  def stop!(feeder) do
    case ended(feeder) do
      nil -> :ok
      {kind, reason, stacktrace} -> :erlang.raise(kind, reason, stacktrace)
    end
  end

  defp ended(feeder) do
    Process.exit(feeder, :kill)
    ref = Process.monitor(feeder)

    receive do
      {:DOWN, ^ref, :process, _, _} -> :ok
    end

    # What it has sent is here by now.
    receive do
      {__MODULE__, ^feeder, raised} -> raised
    after
      0 -> nil
    end
  end
end
