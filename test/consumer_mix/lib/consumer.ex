defmodule Consumer do
  @moduledoc """
  A program that depends on alcove: forks a process, turns it into another
  program and prints what that says.
  """

  def main do
    {:ok, drv} = :alcove_drv.start()
    {:ok, pid} = :alcove.fork(drv)
    :ok = :alcove.chdir(drv, [pid], "/")
    {:ok, "/"} = :alcove.getcwd(drv, [pid])
    :ok = :alcove.execvp(drv, [pid], "cat", ["cat"])
    true = :alcove.stdin(drv, [pid], "hello from mix\n")
    IO.write(:alcove.stdout(drv, [pid]))
    :ok = :alcove_drv.stop(drv)
  end

  @doc """
  The same by the modules for Elixir, which are there when mix has built alcove.
  """
  def elixir do
    {:ok, _} = Application.ensure_all_started(:alcove)
    IO.write(apply(Alcove, :run!, [["echo", "hello from Elixir"]]).stdout)
  end
end
