defmodule Alcove.Test.Lines do
  @moduledoc false
  # A GenServer that gets lines.
  use GenServer

  def start_link(drv, to), do: GenServer.start_link(__MODULE__, {drv, to})

  @impl true
  def init({drv, to}) do
    {:ok, pid} = :alcove_proc.start_link(drv, ["seq", "2"], stdin: :none)
    {:ok, %{pid: pid, to: to, rest: ""}}
  end

  @impl true
  def handle_info({:alcove_proc, pid, {:stdout, data}}, %{pid: pid} = state) do
    [rest | lines] = (state.rest <> data) |> String.split("\n") |> Enum.reverse()
    for line <- Enum.reverse(lines), do: send(state.to, {:line, line})
    {:noreply, %{state | rest: rest}}
  end

  def handle_info({:alcove_proc, pid, {:exit, {:ok, %{status: 0}}}}, %{pid: pid} = state) do
    {:stop, :normal, state}
  end
end
