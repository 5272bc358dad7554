defmodule Untrusted do
  @moduledoc """
  Runs snippets of Python that strangers have sent.

      {:ok, drv} = :alcove_drv.start_link()
      Untrusted.python(drv, "print(6 * 7)")
      #=> {:ok, "42\\n"}
      Untrusted.python(drv, "while True: pass")
      #=> {:limit, :cpu_time}
      Untrusted.python(drv, "1 / 0")
      #=> {:failed, "ZeroDivisionError: division by zero"}

  A snippet sees the programs and libraries of the machine, a directory for temporary files and
  itself: no network, no files of anybody, no other processes. Each has a sandbox of its own, so
  that none sees anything of another's.
  """

  @mib 1_048_576

  @type outcome ::
          {:ok, output :: binary}
          | {:failed, last_line :: binary}
          | {:limit, atom}
          | {:killed, signal :: atom}
          | {:error, term}

  @doc "Runs Python code, which may read the input."
  @spec python(pid, iodata, iodata) :: outcome
  def python(drv, code, input \\ "") do
    spec = %{
      mounts: [
        :system,
        :proc,
        :dev,
        {:tmpfs, "/tmp", 16 * @mib},
        {:file, "/snippet.py", code}
      ],
      cwd: "/tmp",
      stdin: {:data, input},
      limits: %{
        memory: 256 * @mib,
        pids: 8,
        cpu_time: 2,
        wall_time: 10_000,
        file_size: 16 * @mib,
        output: 65_536
      }
    }

    # -I: nothing of the directory that it runs in, or the environment, counts.
    case :alcove_sandbox.run(drv, ["python3", "-I", "-B", "/snippet.py"], spec) do
      {:ok, %{limit: limit}} -> {:limit, limit}
      {:ok, %{status: 0, stdout: output}} -> {:ok, output}
      {:ok, %{status: {:termsig, signal}}} -> {:killed, signal}
      {:ok, %{stderr: text}} -> {:failed, last_line(text)}
      {:error, {_why, %{limit: limit}}} -> {:limit, limit}
      {:error, reason} -> {:error, reason}
    end
  end

  defp last_line(text), do: text |> String.split("\n", trim: true) |> List.last("")
end
