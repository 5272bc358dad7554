Code.require_file("../../examples/untrusted.ex", __DIR__)

defmodule UntrustedTest do
  use ExUnit.Case, async: true

  @python if System.find_executable("/usr/bin/python3"),
            do: [],
            else: [skip: "needs python3 in /usr/bin"]

  @moduletag Alcove.Test.needs_sandbox()
  @tag @python
  test "snippets are run, limited and told apart" do
    {:ok, drv} = :alcove_drv.start_link()
    assert Untrusted.python(drv, "print(6 * 7)") == {:ok, "42\n"}
    assert Untrusted.python(drv, "print(input())", "hello\n") == {:ok, "hello\n"}

    assert Untrusted.python(drv, "1 / 0") ==
             {:failed, "ZeroDivisionError: division by zero"}

    assert Untrusted.python(drv, "while True: pass") == {:limit, :cpu_time}
    assert Untrusted.python(drv, "while True: print('x' * 1000)") == {:limit, :output}
    assert {:failed, _} = Untrusted.python(drv, "open('/etc/shadow')")
    :alcove_drv.stop(drv)
  end
end
